"""Median smoothing: Xu, Evans, Qi, "Feature Squeezing", NDSS 2018 (arXiv:1704.01155)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, PositiveInt
from bench.registry import register_defense


@register_defense("median")
@dataclass(frozen=True)
class Median(Defense):
    """Median smoothing: each pixel becomes the median of its window (a control; arXiv:1704.01155).

    As in the authors' code (mzweilin/EvadeML-Zoo, which calls SciPy), images are mirrored at their
    edges, edge pixels included. In a window of even size the pixel is below and right of the
    middle, and the greater of the two middle values is taken. The paper uses 2x2 and 3x3 windows.
    The gradient goes to the chosen pixel of each window.

    Attributes:
        size: height and width of the window in pixels, at least 1; 1 changes nothing.
    """

    size: PositiveInt = 3

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - the same for all data
        """The filter; nothing to train."""
        return _MedianFilter(self.size)


class _MedianFilter(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """Smoothed images, same shape."""
        rows, columns = (self._mirrored(length, images.device) for length in images.shape[-2:])
        mirrored = images[..., rows[:, None], columns]
        windows = mirrored.unfold(2, self.size, 1).unfold(3, self.size, 1).flatten(4)
        return windows.sort(dim=-1, stable=True).values[..., self.size**2 // 2]

    def _mirrored(self, length: int, device: torch.device) -> Tensor:
        """Indices of pixels with their mirror images on both sides: 1 0 | 0 1 2 | 2 1."""
        before = self.size // 2
        after = (self.size - 1) // 2
        index = torch.arange(-before, length + after, device=device) % (2 * length)
        return torch.minimum(index, 2 * length - 1 - index)
