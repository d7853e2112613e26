"""The probe of the gradient: whether the loss rises along it over steps of visible size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.plugins.faults import plugin_call
from bench.records.probes import RIVALS, STEPS
from bench.stages.context import TaskContext
from bench.stages.probe import Batch, Probe, starting_points

_NEIGHBORHOOD = 0.05
"""Size of the noise that moves every other image before its gradient is taken."""


@dataclass(frozen=True)
class GradientProbe(Probe):
    """The task that compares the gradient of the margin with its finite differences.

    The steps are of visible size, because the derivative of a ripple is true at a point and leads
    nowhere. They follow the sign of the gradient, so that its scale does not matter.
    """

    name: ClassVar[str] = "gradient"

    def settings(self) -> Mapping[str, Any]:
        """Sizes of the steps, and the size of the noise."""
        return {"steps": list(STEPS), "rivals": RIVALS, "neighborhood": _NEIGHBORHOOD}

    def measure(self, batch: Batch, start: int, context: TaskContext) -> Mapping[str, Tensor]:  # noqa: ARG002 - overrides
        """Tensor `rise` (n, steps, 1 + rivals), see `bench.records.probes.Probes`."""
        points = starting_points(batch.images, _NEIGHBORHOOD)
        gradient = _gradient(batch, points)
        directions = [gradient.sign(), *_rivals(gradient.sign())]
        before = batch.margins(points)

        rises = torch.stack(
            [
                torch.stack(
                    [
                        batch.margins((points + step * way).clamp(0, 1)) - before
                        for way in directions
                    ],
                    dim=1,
                )
                for step in STEPS
            ],
            dim=1,
        )
        # A gradient that cannot be followed has a check of its own, and so have bad logits.
        flat = gradient.flatten(1)
        usable = flat.isfinite().all(dim=1) & (flat != 0).any(dim=1)
        usable &= rises.flatten(1).isfinite().all(dim=1)

        return {"rise": torch.where(usable[:, None, None], rises, torch.nan)}


def _gradient(batch: Batch, points: Tensor) -> Tensor:
    """The gradient of the margin at the points, as an attacker takes it, (n, c, h, w)."""
    with torch.enable_grad(), batch.common_draw(), plugin_call(batch.description):
        inputs = points.clone().requires_grad_(True)
        total = batch.margins_of(batch.model(inputs)).sum()
        (gradient,) = torch.autograd.grad(total, inputs, allow_unused=True)

    return torch.zeros_like(points) if gradient is None else gradient.detach()


def _rivals(direction: Tensor) -> list[Tensor]:
    """Directions through the same pixels that lead elsewhere: the opposite, and random signs."""
    random = (
        direction * torch.randint_like(direction, 0, 2).mul_(2).sub_(1) for _ in range(RIVALS - 1)
    )
    return [-direction, *random]
