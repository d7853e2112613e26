"""Minimal filtering: transposed convolutions of stride 2 in fewer products (Winograd 1980)."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from defenses._transposed_convolution import Position, Size

_TILE = 2
"""Outputs along one side that one transform gives for each phase."""

_TAPS = 3
"""Taps along one side of the convolution to a phase, the missing ones zero."""

# y[m] = sum over r of w[r] x[m + r], for m = 0 and 1, is _OUTPUTS ((_FILTERS w) * (_INPUTS x)).
_OUTPUTS = [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, -1.0]]
_FILTERS = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]]
_INPUTS = [
    [1.0, 0.0, -1.0, 0.0],
    [0.0, 1.0, 1.0, 0.0],
    [0.0, -1.0, 1.0, 0.0],
    [0.0, 1.0, 0.0, -1.0],
]


class MinimalFiltering:
    """Transposed convolution by minimal filtering of its four phases, on tiles of 2x2 outputs.

    A phase is the output at even or odd rows and even or odd columns. Each of the four is a
    convolution with 3 or 2 taps a side, which F(2 x 2, 3 x 3) of Winograd (1980) computes in 16
    products for 4 outputs instead of up to 36, as in Lavin and Gray (CVPR 2016, arXiv:1509.09308).
    One matrix product per point needs no new layout of the weights at each call.

    The result is rounded about as much as that of the direct form. F(4 x 4, 3 x 3) takes fewer
    products but lost a digit.
    """

    def __init__(self, weight: Tensor, bias: Tensor, positions: list[Position], size: Size) -> None:
        outputs, filters, inputs = (
            torch.tensor(matrix, dtype=torch.float64) for matrix in (_OUTPUTS, _FILTERS, _INPUTS)
        )
        tiles = [-(-side // _TILE) for side in size]  # The last tile may exceed the map.
        self.tiles = tiles[0] * tiles[1]

        transformed = torch.einsum(
            "pr,qs,iabors->pqiabo", filters.to(weight), filters.to(weight), phase_kernels(weight)
        )
        self.filters = transformed.reshape(len(filters) ** 2, weight.shape[0], -1).contiguous()
        self.bias = bias.repeat(4)
        self.outputs = torch.kron(outputs, outputs).to(weight)[None]
        self.inputs = _input_transform(inputs, tiles, positions, size).to(weight)[None]

        indices = product(*map(range, tiles), range(_TILE), range(_TILE), range(2), range(2))
        self.positions = [
            (2 * (_TILE * y + i) + a, 2 * (_TILE * x + j) + b) for y, x, i, j, a, b in indices
        ]

    def forward(self, maps: Tensor) -> Tensor:
        """See `TransposedConvolution.forward`."""
        n = len(maps)
        rows = n * self.tiles
        tiles = torch.bmm(self.inputs.expand(n, -1, -1), maps).view(rows, -1, maps.shape[2])
        products = torch.bmm(tiles.transpose(0, 1), self.filters).transpose(0, 1)
        phases = torch.baddbmm(self.bias, self.outputs.expand(rows, -1, -1), products)
        return phases.view(n, len(self.positions), -1)

    def backward(self, gradient: Tensor) -> Tensor:
        """See `TransposedConvolution.backward`."""
        n = len(gradient)
        rows = n * self.tiles
        phases = gradient.reshape(rows, self.outputs.shape[1], -1)
        products = torch.bmm(self.outputs.mT.expand(rows, -1, -1), phases).transpose(0, 1)
        tiles = torch.bmm(products, self.filters.mT).transpose(0, 1)
        gathered = tiles.reshape(n, self.inputs.shape[1], -1)
        return torch.bmm(self.inputs.mT.expand(n, -1, -1), gathered)


def _input_transform(
    inputs: Tensor, tiles: list[int], positions: list[Position], size: Size
) -> Tensor:
    """The input transform of all tiles of a map at once, (tiles * 16, positions).

    Pixels outside the map count as zero.
    """
    sides = []
    for length, number in zip(size, tiles, strict=True):
        padded = torch.zeros(number, len(inputs), length, dtype=inputs.dtype)
        for tile, i in product(range(number), range(len(inputs))):
            if 0 <= _TILE * tile + i - 1 < length:
                padded[tile, :, _TILE * tile + i - 1] = inputs[:, i]
        sides.append(padded)
    whole = torch.einsum("ypi,xqj->yxpqij", *sides).reshape(-1, *size)

    transform = torch.zeros(len(whole), len(positions), dtype=inputs.dtype)
    for index, (row, column) in enumerate(positions):
        if row < size[0] and column < size[1]:
            transform[:, index] = whole[:, row, column]

    return transform


def phase_kernels(weight: Tensor) -> Tensor:
    """Kernels of the convolutions to the phases, (in, 2, 2, out, 3, 3), of (in, out, 5, 5).

    Output pixel 2m + a takes tap t of input pixel m + (a + 2 - t) / 2, if that is an integer.
    """
    kernels = weight.new_zeros(weight.shape[0], 2, 2, weight.shape[1], _TAPS, _TAPS)
    for a, b, i, j in product(range(2), range(2), range(_TAPS), range(_TAPS)):
        row = a + 4 - 2 * i
        column = b + 4 - 2 * j
        if row < 5 and column < 5:
            kernels[:, a, b, :, i, j] = weight[:, :, row, column]

    return kernels
