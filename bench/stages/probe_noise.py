"""The probe of noise: what random noise of the attack's size does to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.geometry import Norm
from bench.records.probes import NOISES
from bench.stages.context import TaskContext
from bench.stages.crafting import random_noise
from bench.stages.probe import Batch, Probe


@dataclass(frozen=True)
class NoiseProbe(Probe):
    """The task that classifies noisy versions of the images.

    Attributes:
        eps: size of the noise, on the [0, 1] scale.
        norm: norm of the noise.
    """

    name: ClassVar[str] = "noise"
    eps: float
    norm: Norm

    def settings(self) -> Mapping[str, Any]:
        """Size, norm and number of the noisy versions, and the number of draws."""
        return {"eps": self.eps, "norm": self.norm, "noises": NOISES, **self.draw_settings}

    def measure(self, batch: Batch, start: int, context: TaskContext) -> Mapping[str, Tensor]:  # noqa: ARG002 - overrides
        """Tensor `margin` (n, noises)."""
        noisy = [self._noisy(batch.images) for _ in range(NOISES)]
        margins = [batch.mean_margins(images, self.draws) for images in noisy]
        return {"margin": torch.stack(margins, dim=1)}

    def _noisy(self, images: Tensor) -> Tensor:
        """The images with noise of exactly the size: in `linf`, every pixel moves by all of it."""
        if self.norm != "linf":
            return random_noise(images, self.eps, self.norm)

        signs = torch.randint_like(images, 0, 2) * 2 - 1
        return (images + self.eps * signs).clamp(0, 1)
