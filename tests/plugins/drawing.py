"""Plugins that draw from the global generators of Python and NumPy."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts import Attack, DataInfo, Defense, FitContext
from bench.registry import register_attack, register_defense


class _Noise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("drawn", torch.zeros(4))

    def forward(self, images: Tensor) -> Tensor:
        noise = np.random.normal(0, 0.3 + 0.1 * random.random(), images.shape)
        return (images + torch.from_numpy(noise.astype(np.float32))).clamp(0, 1)


@register_defense("drawing")
@dataclass(frozen=True)
class Drawing(Defense):
    """Noise from NumPy with a standard deviation from `random`; its training only draws."""

    stochastic = True

    def build(self, data: DataInfo) -> nn.Module:
        return _Noise()

    def fit(self, module: nn.Module, context: FitContext) -> None:
        for step in range(4):
            module.drawn[step] = random.random() + np.random.rand()


@register_attack("drawing_attack")
@dataclass(frozen=True)
class DrawingAttack(Attack):
    """Two pixels move by amounts drawn for the whole batch: one from `random`, one from NumPy."""

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        images[:, :, 0, 0] += eps * random.random()
        images[:, :, 0, 1] += eps * np.random.rand()
        return images.clamp(0, 1)
