"""Gaussian noise, as in randomized smoothing: Cohen, Rosenfeld, Kolter, ICML 2019."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, PositiveFloat
from bench.registry import register_defense


@register_defense("gaussian_noise")
@dataclass(frozen=True)
class GaussianNoise(Defense):
    """Gaussian noise on every pixel, drawn at each call (a control; arXiv:1902.02918).

    The sum is clamped to [0, 1]. Randomized smoothing, the source, votes over many such draws with
    a classifier trained on noise. Here the pipeline's own classifier gets a single draw, which
    shows how much a stochastic purifier gains by randomness alone.

    Attributes:
        std: standard deviation of the noise on the [0, 1] scale, above 0. The default is one of the
            paper's levels.
    """

    stochastic: ClassVar[bool] = True
    independent_draws: ClassVar[bool] = True

    std: PositiveFloat = 0.25

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - the same for all data
        """The noise; nothing to train."""
        return _Noise(self.std)


class _Noise(nn.Module):
    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, images: Tensor) -> Tensor:
        """Noisy images in [0, 1]."""
        return (images + self.std * torch.randn_like(images)).clamp(0, 1)
