"""Distances between images, and projection onto the ball of a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Norm = Literal["linf", "l2", "l1", "l0"]
"""Norm of a perturbation: over all pixels and channels; in `l0` the number of changed pixels.

A pixel counts as changed in `l0` if any of its channels is.
"""

_ORDER = {"linf": float("inf"), "l2": 2.0, "l1": 1.0}


def distances(images: Tensor, others: Tensor, norm: Norm) -> Tensor:
    """The distance of each image (n, c, h, w) to its counterpart, shape (n,)."""
    if norm == "l0":
        return (others != images).any(dim=1).flatten(1).sum(dim=1).to(images)

    result: Tensor = (others - images).flatten(1).norm(p=_ORDER[norm], dim=1)
    return result


def within(images: Tensor, others: Tensor, eps: float, norm: Norm) -> Tensor:
    """The other images projected onto the ball of radius `eps` around the originals, and to [0, 1].

    In `linf` each pixel is clipped by itself; in `l2` and `l1` the whole perturbation is shortened,
    so that its direction stays; in `l0` the pixels that change most keep their change.

    Args:
        images: original images (n, c, h, w) in [0, 1].
        others: images (n, c, h, w) to project.
        eps: radius of the ball, on the [0, 1] scale; in `l0` a number of pixels, rounded down.
        norm: norm of the distance.
    """
    delta = others - images
    if norm == "linf":
        return (images + delta.clamp(-eps, eps)).clamp(0, 1)
    if norm == "l0":
        return (images + delta * _largest_changes(delta, int(eps))).clamp(0, 1)

    share = (eps / distances(images, others, norm).clamp_min(1e-12)).clamp_max(1.0)
    return (images + delta * share.view(-1, *[1] * (images.dim() - 1))).clamp(0, 1)


def _largest_changes(delta: Tensor, count: int) -> Tensor:
    """Whether a pixel is among the `count` that change most, (n, 1, h, w) of 0 and 1."""
    sizes = delta.abs().sum(dim=1).flatten(1)
    kept = sizes.argsort(dim=1, descending=True, stable=True)[:, :count]
    mask = sizes.new_zeros(sizes.shape).scatter(1, kept, 1.0)
    return mask.view(len(delta), 1, *delta.shape[2:])
