"""One ascent of Auto-PGD (Croce and Hein 2020, arXiv:2003.01690, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from attacks._queries import Measured, Worst, unit, where
from bench.contracts import within

_MOMENTUM = 0.75
"""Share of the new step in an update; the rest is the previous update. Alpha in the paper."""

_FIRST, _SHORTER, _SHORTEST = 22, 3, 6
"""Checkpoints in percent of the steps: the first, how much shorter each interval is, the least."""

Norm = Literal["linf", "l2"]


def ascend(
    measured: Callable[..., Measured],
    images: Tensor,
    start: Tensor,
    eps: float,
    norm: Norm,
    steps: int,
    rho: float,
) -> Worst:
    """The worst iterates of one ascent.

    Args:
        measured: function of images (n, c, h, w), and of `gradient`, whether one is needed.
        images: clean images (n, c, h, w) in [0, 1].
        start: first iterates, within the budget.
        eps: budget on the [0, 1] scale.
        norm: norm of the budget.
        steps: number of gradient steps, at least 1.
        rho: share of the steps between two checkpoints in which the loss must rise.
    """
    point = previous = start
    found = measured(start)
    worst = Worst(start)
    worst.offer(start, found.loss, found.reached)
    climb = _Climb(start, found, 2 * eps, rho)
    ends = checkpoints(steps)

    for step in range(1, steps + 1):
        size = climb.size.view(-1, *[1] * (images.dim() - 1))
        target = within(images, point + size * _direction(climb.gradient, norm), eps, norm)
        if step > 1:
            moved = point + _MOMENTUM * (target - point) + (1 - _MOMENTUM) * (point - previous)
            target = within(images, moved, eps, norm)
        previous, point = point, target

        found = measured(point, gradient=step < steps)
        worst.offer(point, found.loss, found.reached)
        climb.note(point, found)
        if step in ends:
            point = climb.halved(point)

    return worst


def checkpoints(steps: int) -> frozenset[int]:
    """The steps after which the step sizes are reviewed (section 3.1 of the paper)."""
    found, percent, interval = [], _FIRST, _FIRST
    while percent <= 100:
        found.append(-(-percent * steps // 100))
        interval = max(interval - _SHORTER, _SHORTEST)
        percent += interval

    return frozenset(found)


def _direction(gradient: Tensor, norm: Norm) -> Tensor:
    return gradient.sign() if norm == "linf" else unit(gradient)


class _Climb:
    """Step sizes of the images, and what their choice depends on.

    Attributes:
        size: step size of each image, (n,).
        gradient: gradient at the present iterates.
    """

    def __init__(self, start: Tensor, found: Measured, size: float, rho: float) -> None:
        self.rho = rho
        self.size = torch.full_like(found.loss, size)
        self.gradient = found.gradient
        self.loss = found.loss
        self.best = start
        self.best_found = found

        self.steps = 0  # since the last checkpoint
        self.rises = torch.zeros_like(found.loss)
        self.checked_loss = found.loss
        self.was_halved = torch.zeros_like(found.loss, dtype=torch.bool)

    def note(self, point: Tensor, found: Measured) -> None:
        """Take note of the next iterates."""
        self.steps += 1
        self.rises += found.loss > self.loss
        self.loss, self.gradient = found.loss, found.gradient

        # Of equal losses the later counts: a loss may be too flat for float32 while its gradient is
        # not, and the ascent must not return to its start.
        is_higher = found.loss >= self.best_found.loss
        self.best = where(is_higher, point, self.best)
        pairs = zip(found, self.best_found, strict=True)
        self.best_found = Measured(*(where(is_higher, new, old) for new, old in pairs))

    def halved(self, point: Tensor) -> Tensor:
        """Halve the step sizes where the loss rises too seldom, and return to the best iterates.

        A step size is halved too where neither it nor the highest loss has changed since the last
        checkpoint.

        Returns:
            the iterates from which the ascent goes on.
        """
        highest = self.best_found.loss
        is_still = ~self.was_halved & (self.checked_loss >= highest)
        is_halved = (self.rises < self.rho * self.steps) | is_still
        self.size = torch.where(is_halved, self.size / 2, self.size)
        self.gradient = where(is_halved, self.best_found.gradient, self.gradient)
        self.loss = torch.where(is_halved, highest, self.loss)

        self.steps = 0
        self.rises = torch.zeros_like(self.rises)
        self.checked_loss = highest
        self.was_halved = is_halved
        return where(is_halved, self.best, point)
