"""Bit-depth reduction: Xu, Evans, Qi, "Feature Squeezing", NDSS 2018 (arXiv:1704.01155)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, PositiveInt, StandIn
from bench.registry import register_defense

_IMAGE_BITS = 8

_STEEPNESS = 10.0
"""Steepness of the stand-in's sigmoids, in units of one over the distance between two levels."""


@register_defense("bitdepth")
@dataclass(frozen=True)
class BitDepth(Defense):
    """Bit-depth reduction: pixels rounded to a few levels (a control; arXiv:1704.01155).

    Each pixel is rounded to one of 2^bits levels. As in the authors' code (mzweilin/EvadeML-Zoo),
    halves are rounded to even: with one bit, 0.5 becomes black.

    Rounding is flat almost everywhere, so its gradient is exactly zero by nature. An attack through
    it does nothing, and the accuracy under such an attack says nothing about robustness. Its
    stand-in has a steep sigmoid at each threshold.

    Attributes:
        bits: number of bits of a pixel, 1 to 8. One bit makes a binary image, the paper's choice
            for MNIST; an image file has 8.
    """

    bits: PositiveInt = 1

    def __post_init__(self) -> None:
        if self.bits > _IMAGE_BITS:
            raise ValueError(
                f"parameter bits={self.bits}: at most {_IMAGE_BITS}, the bits of an image file"
            )

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - the same for all data
        """The rounding; nothing to train."""
        return _Rounding(2**self.bits - 1)


class _Rounding(nn.Module):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, images: Tensor) -> Tensor:
        """Images whose pixels are multiples of 1 / steps."""
        return torch.round(images * self.steps) / self.steps

    def stand_ins(self) -> Mapping[str, StandIn]:
        """Steep sigmoids in place of the jumps between levels.

        They are followed alone. As the gradient of the rounding they have the signs of the identity
        and found nothing that the identity does not find.
        """
        return {"sigmoids": StandIn(self._smooth)}

    def _smooth(self, images: Tensor) -> Tensor:
        """Images whose pixels rise from level to level along a sigmoid around each threshold."""
        levels = images * self.steps
        below = levels.detach().floor().clamp(0, self.steps - 1)
        return (below + torch.sigmoid(_STEEPNESS * (levels - below - 0.5))) / self.steps
