"""Transposed convolutions of stride 2 as one matrix product over windows of the map.

At the sizes of a small generator, cuDNN's float32 kernels reach a fraction of the speed of a matrix
product, and take a conversion of the layout before and after each call.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from defenses._minimal_filtering import phase_kernels
from defenses._transposed_convolution import Position, RowMajorOrder, Size, row_major

_TAPS = 3
"""Height and width of the window that all four phases of an output see together."""

_KERNEL = 5
_STRIDE = 2


class WindowConvolution:
    """Transposed convolution by a matrix product; its output positions are row by row.

    A phase is the output at even or odd rows and even or odd columns. All four phases are computed
    at once from windows of 3x3 pixels, with zeros for the taps that a phase lacks.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, positions: list[Position], size: Size, crop: Size
    ) -> None:
        inputs = weight.shape[0]
        kernels = phase_kernels(weight).permute(4, 5, 0, 1, 2, 3)
        self.weight = kernels.reshape(_TAPS**2 * inputs, -1).contiguous()
        self.transposed = weight.permute(2, 3, 1, 0).reshape(-1, inputs).contiguous()
        self.bias = bias.repeat(_STRIDE**2)
        self.order = RowMajorOrder(positions, size, weight.device)
        self.size = size
        self.crop = crop
        self.positions = row_major(*crop)

    def forward(self, maps: Tensor) -> Tensor:
        """See `TransposedConvolution.forward`."""
        n = len(maps)
        height, width = self.size
        image = self.order.forward(maps).view(n, height, width, -1)
        windows = _windows(pad(image, (0, 0, 1, 1, 1, 1)), _TAPS, 1)
        phases = torch.addmm(self.bias, windows, self.weight)
        doubled = phases.view(n, height, width, _STRIDE, _STRIDE, -1).permute(0, 1, 3, 2, 4, 5)
        output = doubled.reshape(n, _STRIDE * height, _STRIDE * width, -1)
        return output[:, : self.crop[0], : self.crop[1]].flatten(1, 2)

    def backward(self, gradient: Tensor) -> Tensor:
        """See `TransposedConvolution.backward`."""
        n = len(gradient)
        before = _KERNEL // 2
        after = [
            _STRIDE * side + 1 - cropped for side, cropped in zip(self.size, self.crop, strict=True)
        ]
        padded = pad(gradient.view(n, *self.crop, -1), (0, 0, before, after[1], before, after[0]))
        maps = _windows(padded, _KERNEL, _STRIDE) @ self.transposed
        return self.order.backward(maps.view(n, self.size[0] * self.size[1], -1))


def _windows(image: Tensor, side: int, stride: int) -> Tensor:
    """The windows of images (n, height, width, channels), (n * windows, side * side * channels)."""
    windows = image.unfold(1, side, stride).unfold(2, side, stride)
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, side * side * image.shape[-1])
