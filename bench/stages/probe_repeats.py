"""The probe of repetition: whether a pipeline that claims to be deterministic is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.stages.context import TaskContext
from bench.stages.probe import Batch, Probe, shifts, starting_points

_NEIGHBORHOOD = 0.1
"""Size of the noise that moves every other image."""

_ALONE = 8
"""Number of images of a batch that are classified alone too."""


@dataclass(frozen=True)
class RepeatProbe(Probe):
    """The task that classifies the same images twice, and each of the first ones alone."""

    name: ClassVar[str] = "repetition"

    def settings(self) -> Mapping[str, Any]:
        """Size of the noise, and number of images that are classified alone."""
        return {"neighborhood": _NEIGHBORHOOD, "alone": _ALONE}

    def measure(self, batch: Batch, start: int, context: TaskContext) -> Mapping[str, Tensor]:  # noqa: ARG002 - overrides
        """Tensors `repeat` and `alone`, shifts (n,); `alone` is NaN beyond the first images."""
        points = starting_points(batch.images, _NEIGHBORHOOD)
        first = batch.logits(points)
        second = batch.logits(points)
        alone = torch.cat([batch.logits(point[None]) for point in points[:_ALONE]])

        padded = torch.full_like(first[:, 0], torch.nan)
        padded[: len(alone)] = shifts(first[: len(alone)], alone)

        return {"repeat": shifts(first, second), "alone": padded}
