"""A defense as a stranger would write it: one file, a median filter."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from bench.contracts import DataInfo, Defense, PositiveInt
from bench.registry import register_defense


@register_defense("my_median")
@dataclass(frozen=True)
class Median(Defense):
    """Median filter: each pixel becomes the median of its neighborhood.

    Attributes:
        radius: the neighborhood is a square of 2 radius + 1 pixels.
    """

    radius: PositiveInt = 1

    def build(self, data: DataInfo) -> nn.Module:
        """The filter; nothing to train."""
        return _Median(self.radius)


class _Median(nn.Module):
    def __init__(self, radius: int) -> None:
        super().__init__()
        self.radius = radius

    def forward(self, images: Tensor) -> Tensor:
        """Filtered images."""
        size = 2 * self.radius + 1
        padded = pad(images, [self.radius] * 4, mode="reflect")
        windows = padded.unfold(2, size, 1).unfold(3, size, 1).flatten(4)
        return torch.median(windows, dim=-1).values
