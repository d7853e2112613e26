"""Transposed convolutions: the doubling layers of generators, and forms with fixed weights.

A form computes a 5x5 convolution of stride 2 in evaluation mode, and its gradient. Maps are stored
as (n, positions, channels). The positions may have any order, given as a list of (row, column), so
that the output of one layer is the input of the next without a copy. Positions beyond the cropped
size are ignored.
"""

from __future__ import annotations

from itertools import product
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, fold, pad

Position = tuple[int, int]
"""Row and column of a pixel of a map."""

Size = tuple[int, int]
"""Height and width of a map."""


def doubling(inputs: int, outputs: int, kernel: int) -> nn.ConvTranspose2d:
    """A transposed convolution of stride 2, which doubles height and width; the kernel is odd."""
    return nn.ConvTranspose2d(
        inputs, outputs, kernel, stride=2, padding=kernel // 2, output_padding=1
    )


def to_few_channels(maps: Tensor, weight: Tensor, bias: Tensor, size: Size, stride: int) -> Tensor:
    """A transposed convolution to few channels, as one matrix product and a sum over neighbors.

    The library's kernels fill whole vectors with output channels, and take twice the time here.

    Args:
        maps: maps (n, positions, channels in), the positions row by row.
        weight: weights (channels in, channels out, kernel, kernel); the kernel is odd.
        bias: biases (channels out,).
        size: height and width of the output.
        stride: stride of the convolution.

    Returns:
        maps (n, channels out, height, width).
    """
    kernel = weight.shape[-1]
    taps = torch.bmm(weight.flatten(1).mT.expand(len(maps), -1, -1), maps.mT)
    return fold(taps, size, kernel, padding=kernel // 2, stride=stride) + bias[:, None, None]


def bias_of(layer: nn.ConvTranspose2d) -> Tensor:
    """The bias of the layer, which must have one."""
    if layer.bias is None:
        raise TypeError("the transposed convolution has no bias")
    return layer.bias


class TransposedConvolution(Protocol):
    """Transposed convolution of stride 2 with fixed weights.

    Attributes:
        positions: (row, column) of each position of the output.
    """

    positions: list[Position]

    def forward(self, maps: Tensor) -> Tensor:
        """Output (n, positions out, channels out) of maps (n, positions in, channels in)."""

    def backward(self, gradient: Tensor) -> Tensor:
        """Gradient with respect to the input, given the gradient with respect to the output.

        Maps (n, positions out, channels out) to maps (n, positions in, channels in).
        """


def row_major(height: int, width: int) -> list[Position]:
    """The positions of a map row by row."""
    return list(product(range(height), range(width)))


class RowMajorOrder:
    """Reordering of the positions of a map row by row, and the gradient of this reordering."""

    def __init__(self, positions: list[Position], size: Size, device: torch.device) -> None:
        index = {position: i for i, position in enumerate(positions)}
        ordered = row_major(*size)
        self.count = len(positions)
        self.size = size
        self.is_identity = positions == ordered
        self.index = torch.tensor([index[position] for position in ordered], device=device)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (n, positions, channels) in order, without the positions beyond the size."""
        return maps if self.is_identity else maps.index_select(1, self.index)

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient in the original order; zero for positions beyond the size."""
        if self.is_identity:
            return gradient

        zeros = gradient.new_zeros(len(gradient), self.count, gradient.shape[2])
        return zeros.index_copy(1, self.index, gradient)


class LibraryConvolution:
    """Transposed convolution by PyTorch's functions; its output positions are row by row."""

    def __init__(
        self, weight: Tensor, bias: Tensor, positions: list[Position], size: Size, crop: Size
    ) -> None:
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.bias = bias
        self.order = RowMajorOrder(positions, size, weight.device)
        self.size = size
        self.crop = crop
        self.positions = row_major(*crop)

    def forward(self, maps: Tensor) -> Tensor:
        """See `TransposedConvolution.forward`."""
        half = self.weight.shape[-1] // 2
        image = _to_image(self.order.forward(maps), self.size)
        doubled = conv_transpose2d(
            image, self.weight, self.bias, stride=2, padding=half, output_padding=1
        )
        return _to_maps(doubled[..., : self.crop[0], : self.crop[1]])

    def backward(self, gradient: Tensor) -> Tensor:
        """See `TransposedConvolution.backward`."""
        half = self.weight.shape[-1] // 2
        cropped = (0, 2 * self.size[1] - self.crop[1], 0, 2 * self.size[0] - self.crop[0])
        image = pad(_to_image(gradient, self.crop), cropped)
        return self.order.backward(_to_maps(conv2d(image, self.weight, stride=2, padding=half)))


class FewChannels:
    """Transposed convolution to few channels; all positions are row by row."""

    def __init__(self, weight: Tensor, bias: Tensor, crop: Size) -> None:
        self.weight = weight.contiguous()
        self.bias = bias
        self.crop = crop
        self.positions = row_major(*crop)

    def forward(self, maps: Tensor) -> Tensor:
        """See `TransposedConvolution.forward`."""
        logits = to_few_channels(maps, self.weight, self.bias, self.crop, stride=2)
        return logits.flatten(2).mT

    def backward(self, gradient: Tensor) -> Tensor:
        """See `TransposedConvolution.backward`."""
        half = self.weight.shape[-1] // 2
        image = gradient.mT.unflatten(2, self.crop)
        return _to_maps(conv2d(image, self.weight, stride=2, padding=half))


def _to_image(maps: Tensor, size: Size) -> Tensor:
    """Maps (n, positions row by row, channels) as (n, channels, height, width), channels last."""
    return maps.view(len(maps), *size, -1).permute(0, 3, 1, 2)


def _to_maps(image: Tensor) -> Tensor:
    """Maps (n, channels, height, width) as (n, positions row by row, channels)."""
    return image.permute(0, 2, 3, 1).flatten(1, 2)
