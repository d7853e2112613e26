"""Fast Adaptive Boundary attack: Croce, Hein, ICML 2020 (arXiv:1907.02044)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from attacks._hyperplanes import to_hyperplane
from attacks._losses import margin
from attacks._queries import draws, gradient_of, mean_logits
from bench.contracts import (
    Fraction,
    MinimumNorm,
    NonNegativeFloat,
    PositiveInt,
    distances,
)
from bench.registry import register_attack

_LARGEST_START = {"linf": 0.3, "l2": 1.0, "l1": 5.0}
"""Largest distance of a random start, twice; the values of the paper's code."""

_DUAL = {"linf": 1.0, "l2": 2.0, "l1": torch.inf}
"""Order of the gradient's norm in the distance to a hyperplane, by the norm of the distance."""

_FINAL_STEPS = 3

_TINY = 1e-12


@register_attack("fab")
@dataclass(frozen=True)
class FAB(MinimumNorm):
    """Fast Adaptive Boundary attack: projections on linearized boundaries (arXiv:1907.02044).

    Algorithm 1 of the paper. Each step projects the iterate and the image on the nearest of the
    linearized boundaries, within [0, 1], and goes a little beyond a point between the two. From an
    adversarial iterate it first moves back towards the image. The last steps search the line from
    the image to the nearest adversarial iterate.

    Attributes:
        steps: number of projections in a restart, at least 1.
        restarts: number of starts, at least 1. The first is the image itself; the others are random
            points at half the distance found so far.
        candidates: number of likeliest classes that are considered, at least 2. Each class but the
            true one costs one gradient in each step.
        alpha_max: largest weight of the image in a step, in [0, 1].
        eta: factor by which a step overshoots the boundary, at least 0.
        beta: share of the perturbation that is kept after an adversarial iterate, in [0, 1].
        norm: norm of the minimized distance: `linf`, `l2` or `l1`.
    """

    steps: PositiveInt = 100
    restarts: PositiveInt = 1
    candidates: Annotated[int, Field(ge=2)] = 10
    alpha_max: Fraction = 0.1
    eta: NonNegativeFloat = 1.05
    beta: Fraction = 0.9
    norm: Literal["linf", "l2", "l1"] = "linf"

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest adversarial iterates, or else the images unchanged."""
        logits = mean_logits(model, images)
        likely = logits.scatter(1, labels[:, None], -torch.inf)
        count = min(self.candidates, logits.shape[1]) - 1
        others = likely.topk(count, dim=1).indices

        nearest = _Nearest(images, margin(logits, labels) > 0, self.norm)
        for restart in range(self.restarts):
            point = images if restart == 0 else self._random_start(images, nearest.distance)
            for _ in range(self.steps):
                point = self._step(model, images, point, labels, others)
                is_adversarial = margin(mean_logits(model, point), labels) > 0
                nearest.offer(point, is_adversarial)
                back = images + self.beta * (point - images)
                point = torch.where(is_adversarial.view(-1, 1, 1, 1), back, point)

        self._search_line(model, images, labels, nearest)
        return nearest.images

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002 - same at every budget
        """Largest number of gradients for an image."""
        return {"gradients": self.steps * self.restarts * (self.candidates - 1)}

    def _random_start(self, images: Tensor, distance: Tensor) -> Tensor:
        is_linf = self.norm == "linf"
        noise = 2 * torch.rand_like(images) - 1 if is_linf else torch.randn_like(images)
        length = distances(images, images + noise, self.norm).clamp_min(_TINY)
        radius = distance.clamp_max(_LARGEST_START[self.norm]) / 2
        return (images + (radius / length).view(-1, 1, 1, 1) * noise).clamp(0, 1)

    def _step(
        self, model: nn.Module, images: Tensor, point: Tensor, labels: Tensor, others: Tensor
    ) -> Tensor:
        """The next iterates: beyond a point between the two projections."""
        gaps, normals = self._nearest_boundary(*_linearized(model, point, labels, others))
        start = (images * normals).flatten(1).sum(dim=1) - (point * normals).flatten(1).sum(dim=1)
        own = self._onto(point, normals, gaps)
        image = self._onto(images, normals, gaps - start)

        lengths = (
            distances(images, images + change, self.norm).clamp_min(1e-8) for change in (own, image)
        )
        first, second = lengths
        weight = (first / (first + second)).clamp_max(self.alpha_max).view(-1, 1, 1, 1)
        moved = (1 - weight) * (point + self.eta * own) + weight * (images + self.eta * image)
        return moved.clamp(0, 1)

    def _onto(self, points: Tensor, normals: Tensor, gaps: Tensor) -> Tensor:
        flat = to_hyperplane(points.flatten(1), normals.flatten(1), gaps, self.norm)
        return flat.view_as(points)

    def _nearest_boundary(self, gaps: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest boundary of each image: differences (n,) to make, and normals (n, c, h, w).

        Args:
            gaps: logit of the true class minus that of each other class, (n, k).
            slopes: gradients of the other logits minus the true one, (n, k, c, h, w).
        """
        largest = slopes.abs().flatten(1).amax(dim=1).clamp_min(torch.finfo(slopes.dtype).tiny)
        relative = slopes.flatten(2) / largest.view(-1, 1, 1)
        lengths = relative.norm(p=_DUAL[self.norm], dim=2).clamp_min(_TINY)
        chosen = (gaps.abs() / lengths).argmin(dim=1)
        rows = torch.arange(len(gaps), device=gaps.device)
        return gaps[rows, chosen], slopes[rows, chosen]

    def _search_line(
        self, model: nn.Module, images: Tensor, labels: Tensor, nearest: _Nearest
    ) -> None:
        """Look for nearer adversarial images on the line to the clean images.

        Section 2.4 of the paper: the margin is interpolated linearly between the two ends.
        """
        near, far = images, nearest.images
        near_margin, far_margin = (margin(mean_logits(model, ends), labels) for ends in (near, far))
        for _ in range(_FINAL_STEPS):
            share = near_margin / (near_margin - far_margin)
            share = share.nan_to_num(nan=1.0).clamp(0, 1).view(-1, 1, 1, 1)
            point = near + share * (far - near)
            value = margin(mean_logits(model, point), labels)
            is_adversarial = value > 0
            nearest.offer(point, is_adversarial)

            mask = is_adversarial.view(-1, 1, 1, 1)
            near, far = torch.where(mask, near, point), torch.where(mask, point, far)
            near_margin = torch.where(is_adversarial, near_margin, value)
            far_margin = torch.where(is_adversarial, value, far_margin)


class _Nearest:
    """The nearest adversarial image of each image so far.

    Attributes:
        images: nearest adversarial images; the clean images where none is known.
        distance: their distances (n,); infinity where none is known.
    """

    def __init__(
        self, images: Tensor, is_adversarial: Tensor, norm: Literal["linf", "l2", "l1"]
    ) -> None:
        self.originals = images
        self.norm = norm
        self.images = images.clone()
        self.distance = torch.where(is_adversarial, 0.0, torch.inf)

    def offer(self, images: Tensor, is_adversarial: Tensor) -> None:
        """Take over the adversarial images that are nearer."""
        distance = distances(self.originals, images, self.norm)
        is_nearer = is_adversarial & (distance < self.distance)
        self.images = torch.where(is_nearer.view(-1, 1, 1, 1), images, self.images)
        self.distance = torch.where(is_nearer, distance, self.distance)


def _linearized(
    model: nn.Module, points: Tensor, labels: Tensor, others: Tensor
) -> tuple[Tensor, Tensor]:
    """The boundaries to the other classes, as means over the model's draws.

    Returns:
        logit of the true class minus that of each other class, (n, k), and the gradients of their
        negatives, (n, k, c, h, w).
    """
    count = draws(model)
    gaps = torch.zeros(others.shape, device=points.device)
    slopes = points.new_zeros(*others.shape, *points.shape[1:])

    for _ in range(count):
        once, gradients = _linearized_once(model, points, labels, others)
        gaps = gaps + once / count
        slopes = slopes + gradients / count

    return gaps, slopes


def _linearized_once(
    model: nn.Module, points: Tensor, labels: Tensor, others: Tensor
) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        inputs = points.detach().requires_grad_(True)
        logits = model(inputs)
        gaps = logits.gather(1, labels[:, None]) - logits.gather(1, others)
        slopes = [gradient_of(-gap.sum(), inputs, retain_graph=True) for gap in gaps.unbind(dim=1)]

    return gaps.detach(), torch.stack(slopes, dim=1)
