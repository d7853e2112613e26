"""Transposed 5x5 convolutions of stride 2 in evaluation mode, with their gradient, in the form that
is fastest.

Each of the four phases of the doubled map (even and odd rows and columns) is a convolution with 3
or 2 taps a side. `Minimal` computes all four by minimal filtering: F(2 x 2, 3 x 3) of Winograd
(1980), as Lavin and Gray (CVPR 2016, arXiv:1509.09308) use it: 16 products for 4 outputs of a phase
instead of up to 36, and one matrix product per point, so that weights need no new layout at each
call. It rounds like the direct form; F(4 x 4, 3 x 3) takes fewer products but lost a digit.

Maps lie as (n, places, channels): the places of a map in any order, which `places` tells, so that
what one layer leaves is what the next takes, without a copy between them. Resources beyond the crop
are ignored.
"""

from __future__ import annotations

from itertools import product
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad

Place = tuple[int, int]
"""Row and column."""

_TILE = 2  # outputs a side that one transform gives for each phase
_TAPS = 3
# y[m] = sum over r of w[r] x[m + r] is, for m = 0 and 1, _OUTPUTS ((_FILTERS w) * (_INPUTS x))
_OUTPUTS = [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, -1.0]]
_FILTERS = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]]
_INPUTS = [
    [1.0, 0.0, -1.0, 0.0],
    [0.0, 1.0, 1.0, 0.0],
    [0.0, -1.0, 1.0, 0.0],
    [0.0, 1.0, 0.0, -1.0],
]
_SMALL = 16  # places of a map up to which Minimal was the faster one on a CPU: its transforms are dense over the map


class Doubling(Protocol):
    """A transposed convolution of stride 2 to twice the size.

    Attributes:
        places: (row, column) of each place of its output.
    """

    places: list[Place]

    def forward(self, maps: Tensor) -> Tensor:
        """(n, places in, channels in) to (n, places out, channels out)."""

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient with respect to the input, given that with respect to the output.

        Same shapes reversed.
        """


def rows_first(height: int, width: int) -> list[Place]:
    """The places of a map row by row."""
    return list(product(range(height), range(width)))


def prepared(
    weight: Tensor, bias: Tensor, places: list[Place], size: Place, crop: Place
) -> Doubling:
    """The form that was measured to be faster: minimal filtering for small maps on a CPU, else the
    library's.

    Reduced precision, which would lose more digits in the transforms, always takes the library's.

    Args:
        weight: of the transposed convolution (in, out, 5, 5), padding 2, output padding 1.
        bias: (out,).
        places: of the input.
        size: height and width of the input.
        crop: height and width to which the output is cut.
    """
    full = weight.dtype == torch.float64 or torch.get_float32_matmul_precision() == "highest"
    if (
        weight.device.type == "cpu"
        and full
        and weight.dtype.itemsize >= 4
        and size[0] * size[1] <= _SMALL
    ):
        return Minimal(weight, bias, places, size)
    return Direct(weight, bias, places, size, crop)


class Order:
    """The places of a map put row by row, and its gradient put back."""

    def __init__(self, places: list[Place], size: Place, device: torch.device) -> None:
        index = {place: i for i, place in enumerate(places)}
        rows = rows_first(*size)
        self.count, self.sorted = len(places), places == rows
        self.index = torch.tensor([index[place] for place in rows], device=device)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, places, channels), the places in order, those beyond the size left out."""
        return maps if self.sorted else maps.index_select(1, self.index)

    def backward(self, gradient: Tensor) -> Tensor:
        """The reverse; places that were left out have no gradient."""
        if self.sorted:
            return gradient
        return gradient.new_zeros(len(gradient), self.count, gradient.shape[2]).index_copy(
            1, self.index, gradient
        )


class Direct:
    """By the library's convolutions; the output row by row."""

    def __init__(
        self, weight: Tensor, bias: Tensor, places: list[Place], size: Place, crop: Place
    ) -> None:
        self.weight, self.bias = weight.contiguous(memory_format=torch.channels_last), bias
        self.order, self.size, self.crop = Order(places, size, weight.device), size, crop
        self.places = rows_first(*crop)

    def forward(self, maps: Tensor) -> Tensor:
        """See `Doubling`."""
        half = self.weight.shape[-1] // 2
        image = _image(self.order.forward(maps), self.size)
        doubled = conv_transpose2d(
            image, self.weight, self.bias, stride=2, padding=half, output_padding=1
        )
        return _flat(doubled[..., : self.crop[0], : self.crop[1]])

    def backward(self, gradient: Tensor) -> Tensor:
        """See `Doubling`."""
        missing = (0, 2 * self.size[1] - self.crop[1], 0, 2 * self.size[0] - self.crop[0])
        image = pad(_image(gradient, self.crop), missing)
        return self.order.backward(
            _flat(conv2d(image, self.weight, stride=2, padding=self.weight.shape[-1] // 2))
        )


class Minimal:
    """By minimal filtering on tiles of 2x2 outputs a phase."""

    def __init__(self, weight: Tensor, bias: Tensor, places: list[Place], size: Place) -> None:
        outputs, filters, inputs = (
            torch.tensor(each, dtype=torch.float64) for each in (_OUTPUTS, _FILTERS, _INPUTS)
        )
        tiles = [-(-side // _TILE) for side in size]
        self.tiles = tiles[0] * tiles[1]
        every = torch.einsum(
            "pr,qs,iabors->pqiabo", filters.to(weight), filters.to(weight), _phases(weight)
        )
        self.filters = every.reshape(len(filters) ** 2, weight.shape[0], -1).contiguous()
        self.bias = bias.repeat(4)
        self.outputs = torch.kron(outputs, outputs).to(weight)[None]
        self.inputs = _gathering(inputs, tiles, places, size).to(weight)[None]
        steps = product(*map(range, tiles), range(_TILE), range(_TILE), range(2), range(2))
        self.places = [
            (2 * (_TILE * y + i) + a, 2 * (_TILE * x + j) + b) for y, x, i, j, a, b in steps
        ]

    def forward(self, maps: Tensor) -> Tensor:
        """See `Doubling`."""
        n, rows = len(maps), len(maps) * self.tiles
        tiles = torch.bmm(self.inputs.expand(n, -1, -1), maps).view(rows, -1, maps.shape[2])
        products = torch.bmm(tiles.transpose(0, 1), self.filters).transpose(0, 1)
        phases = torch.baddbmm(self.bias, self.outputs.expand(rows, -1, -1), products)
        return phases.view(n, len(self.places), -1)

    def backward(self, gradient: Tensor) -> Tensor:
        """See `Doubling`."""
        n, rows = len(gradient), len(gradient) * self.tiles
        phases = gradient.reshape(rows, self.outputs.shape[1], -1)
        products = torch.bmm(self.outputs.mT.expand(rows, -1, -1), phases).transpose(0, 1)
        tiles = torch.bmm(products, self.filters.mT).transpose(0, 1)
        return torch.bmm(
            self.inputs.mT.expand(n, -1, -1), tiles.reshape(n, self.inputs.shape[1], -1)
        )


def _gathering(inputs: Tensor, tiles: list[int], places: list[Place], size: Place) -> Tensor:
    """The transform of all tiles of a map at once, (tiles * 16, places).

    What lies outside the map is zero.
    """
    sides = []
    for length, number in zip(size, tiles, strict=True):
        padded = torch.zeros(number, len(inputs), length, dtype=inputs.dtype)
        for tile, i in product(range(number), range(len(inputs))):
            if 0 <= _TILE * tile + i - 1 < length:
                padded[tile, :, _TILE * tile + i - 1] = inputs[:, i]
        sides.append(padded)
    whole = torch.einsum("ypi,xqj->yxpqij", *sides).reshape(-1, *size)
    gathering = torch.zeros(len(whole), len(places), dtype=inputs.dtype)
    for index, (row, column) in enumerate(places):
        if row < size[0] and column < size[1]:
            gathering[:, index] = whole[:, row, column]
    return gathering


def _phases(weight: Tensor) -> Tensor:
    """A transposed 5x5 convolution (in, out, 5, 5) as 3x3 ones to its phases, (in, 2, 2, out, 3,
    3).

    Pixel 2m + a takes tap t of the input m + (a + 2 - t) / 2, where that is whole.
    """
    kernels = weight.new_zeros(weight.shape[0], 2, 2, weight.shape[1], _TAPS, _TAPS)
    for a, b, i, j in product(range(2), range(2), range(_TAPS), range(_TAPS)):
        t, u = a + 4 - 2 * i, b + 4 - 2 * j
        if t < 5 and u < 5:
            kernels[:, a, b, :, i, j] = weight[:, :, t, u]
    return kernels


def bias_of(up: nn.ConvTranspose2d) -> Tensor:
    """The bias, which the networks here have."""
    if up.bias is None:
        raise TypeError("a transposed convolution has a bias here")
    return up.bias


def _image(maps: Tensor, size: Place) -> Tensor:
    """(n, places row by row, channels) as (n, channels, height, width), channels last."""
    return maps.view(len(maps), *size, -1).permute(0, 3, 1, 2)


def _flat(image: Tensor) -> Tensor:
    """The reverse."""
    return image.permute(0, 2, 3, 1).flatten(1, 2)
