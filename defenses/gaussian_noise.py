"""Gaussian noise on the input, as in randomised smoothing: Cohen, Rosenfeld, Kolter, ICML 2019 (arXiv:1902.02918)."""

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
    """Gaussian noise added to each pixel, afresh at each call, clamped to [0, 1]; a control.

    Randomised smoothing (arXiv:1902.02918) votes over many such draws with a classifier trained on
    noise. Here it is one draw and the classifier at hand: what a stochastic purifier gains by
    randomness alone.

    Attributes:
        std: standard deviation of the noise; the default is one of the paper's levels.
    """

    stochastic: ClassVar[bool] = True

    std: PositiveFloat = 0.25

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - the same for all data
        """The noise; nothing to train."""
        return _Noise(self.std)


class _Noise(nn.Module):
    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, images: Tensor) -> Tensor:
        """Noisy images."""
        return (images + self.std * torch.randn_like(images)).clamp(0, 1)
