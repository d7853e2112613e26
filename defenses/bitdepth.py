"""Bit-depth reduction: Xu, Evans, Qi, "Feature Squeezing", NDSS 2018 (arXiv:1704.01155)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, PositiveInt
from bench.registry import register_defense

_IMAGE_BITS = 8


@register_defense("bitdepth")
@dataclass(frozen=True)
class BitDepth(Defense):
    """Bit-depth reduction: each pixel is rounded to one of 2^bits levels (arXiv:1704.01155); a
    control.

    As in the authors' code (mzweilin/EvadeML-Zoo), halves are rounded to even: a binariser turns
    0.5 black. Rounding is flat almost everywhere, so its gradient is exactly zero, by nature and
    not by an oversight: an attack through it does nothing, and its accuracy there says nothing of
    its robustness.

    Attributes:
        bits: 1 is a binariser, the paper's choice for MNIST; at most 8, what an image file has.
    """

    bits: PositiveInt = 1

    def __post_init__(self) -> None:
        if self.bits > _IMAGE_BITS:
            raise ValueError(
                f"parameter bits={self.bits}: at most {_IMAGE_BITS}, what an image file has"
            )

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - the same for all data
        """The rounding; nothing to train."""
        return _Round(2**self.bits - 1)


class _Round(nn.Module):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, images: Tensor) -> Tensor:
        """Images whose pixels are multiples of 1 / steps."""
        return torch.round(images * self.steps) / self.steps
