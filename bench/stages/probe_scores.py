"""The probe by scores: a short random search that needs no gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.geometry import Norm, within
from bench.stages.context import TaskContext
from bench.stages.probe import Batch, Probe

_QUERIES = 200
"""Number of calls of the model, at most."""

_TRIAL = 30
"""Number of calls after which the search gives up images that it has hardly moved."""

_COVERED = 0.5
"""Share of the way to a misclassification that an image must have come by then."""

_LARGEST = 0.3
"""Share of an image's area that the first squares cover."""

_CONFIRMATIONS = 4
"""Number of fresh draws in which the images that were found are judged."""


@dataclass(frozen=True)
class ScoreProbe(Probe):
    """The task that searches adversarial images by random squares, as Square Attack does.

    Source: Andriushchenko et al. 2020 (arXiv:1912.00049), here with few calls, one schedule, and in
    any norm whose ball is convex. An image leaves the search when it is misclassified (under a
    randomized model only if another draw confirms it), or when it is far from it after `_TRIAL`
    calls.

    Attributes:
        eps: budget on the [0, 1] scale.
        norm: norm of the budget.
    """

    name: ClassVar[str] = "scores"
    eps: float
    norm: Norm

    def settings(self) -> Mapping[str, Any]:
        """Budget, norm, and number of calls."""
        return {
            "eps": self.eps,
            "norm": self.norm,
            "queries": _QUERIES,
            "trial": _TRIAL,
            "confirmations": _CONFIRMATIONS,
        }

    def measure(self, batch: Batch, start: int, context: TaskContext) -> Mapping[str, Tensor]:  # noqa: ARG002 - overrides
        """Tensor `right` (n,), the share of fresh draws that are right on what was found."""
        found = self._search(batch)
        draws = _CONFIRMATIONS if self.attacked.stochastic else 1
        right = [batch.right(batch.logits(found)) for _ in range(draws)]

        return {"right": torch.stack(right).float().mean(dim=0)}

    def _search(self, batch: Batch) -> Tensor:
        """The worst image found for each image, (n, c, h, w)."""
        best = batch.images.clone()
        start = batch.margins_of(batch.logits(best))
        margin = start.clone()
        standing = torch.arange(len(best), device=best.device)[margin <= 0]

        for query in range(_QUERIES):
            if query == _TRIAL:
                standing = standing[(margin >= (1 - _COVERED) * start)[standing]]
            if not len(standing):
                break
            clean = batch.images[standing]
            # An image that is misclassified already is tried again in a fresh draw, as it is.
            again = margin[standing] > 0
            proposed = self._proposed(clean, best[standing], query)
            proposed = torch.where(again[:, None, None, None], best[standing], proposed)
            reached = batch.margins_of(batch.logits(proposed), standing)

            better = again | (reached > margin[standing])
            best[standing] = torch.where(better[:, None, None, None], proposed, best[standing])
            margin[standing] = torch.where(better, reached, margin[standing])
            leaves = (reached > 0) & (again | (not self.attacked.stochastic))
            standing = standing[~leaves]

        return best

    def _proposed(self, clean: Tensor, best: Tensor, query: int) -> Tensor:
        """The best images with one more square each, or with stripes in the first query."""
        height, width = clean.shape[2:]
        if query == 0:
            stripes = _signs(len(clean), clean.shape[1], 1, width, clean)
            return self._with(clean, clean, stripes.expand_as(clean), torch.ones_like(clean))

        share = _LARGEST * (1 - query / _QUERIES) ** 2
        side = max(1, min(round((share * height * width) ** 0.5), height, width))
        inside = _squares(clean, side)
        return self._with(clean, best, _signs(len(clean), clean.shape[1], 1, 1, clean), inside)

    def _with(self, clean: Tensor, best: Tensor, signs: Tensor, inside: Tensor) -> Tensor:
        """The best images with a region moved by the whole budget, within the ball.

        Args:
            clean: original images (n, c, h, w).
            best: images to change.
            signs: direction of the movement, 1 or -1.
            inside: whether a pixel is in the region, 1 or 0.
        """
        pixels = inside[0].sum().clamp_min(1.0)
        order = {"linf": 0.0, "l2": 0.5, "l1": 1.0}[self.norm]
        moved = clean + signs * self.eps * pixels**-order
        return within(clean, torch.where(inside > 0, moved, best).clamp(0, 1), self.eps, self.norm)


def _signs(n: int, channels: int, height: int, width: int, like: Tensor) -> Tensor:
    """Random signs, (n, channels, height, width)."""
    return torch.randint(0, 2, (n, channels, height, width), device=like.device).to(like) * 2 - 1


def _squares(images: Tensor, side: int) -> Tensor:
    """A mask of one square at a random place of each image, (n, c, h, w) of 0 and 1."""
    n, _, height, width = images.shape
    rows = _inside(n, height, side, images)[:, None, :, None]
    columns = _inside(n, width, side, images)[:, None, None, :]
    return (rows & columns).expand_as(images).to(images)


def _inside(n: int, length: int, side: int, like: Tensor) -> Tensor:
    """Whether a position along an axis is in an interval at a random place, (n, length)."""
    start = torch.randint(0, length - side + 1, (n, 1), device=like.device)
    position = torch.arange(length, device=like.device)
    return (position >= start) & (position < start + side)
