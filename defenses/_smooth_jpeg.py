"""A differentiable JPEG codec, which an attacker follows in place of the real one."""

from __future__ import annotations

import math
from io import BytesIO
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

_BLOCK = 8
_MIDDLE = 128.0
"""Level that is subtracted from every sample before the transform (ITU-T T.81, annex A.3.1)."""

_TO_YCBCR = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
"""Luminance and chrominance of a colour, the latter around zero (ITU-T T.871, section 7)."""


class _Constants(NamedTuple):
    """What the codec multiplies and divides by.

    Attributes:
        luminance: steps (8, 8) of the quantization of gray levels.
        chrominance: steps (8, 8) of the quantization of colour differences.
        to_ycbcr: color transform (3, 3).
        transform: cosine transform (8, 8).
    """

    luminance: Tensor
    chrominance: Tensor
    to_ycbcr: Tensor
    transform: Tensor


class SmoothJPEG:
    """JPEG compression and decompression with a rounding that has a gradient.

    The color transform, the blocks, the cosine transform and the steps of the quantization are
    those of the codec. The colour differences are halved in both directions by a mean, and
    enlarged linearly. Rounding to 8 bits is left out.

    Args:
        quality: quality of the compression, 1 to 100.
    """

    def __init__(self, quality: int) -> None:
        self._constants = _Constants(*_quantization_steps(quality), _TO_YCBCR, _cosine_transform())
        self._moved: dict[tuple[torch.device, torch.dtype], _Constants] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Images (n, 1 or 3, height, width) after compression and decompression, in [0, 1]."""
        levels = 255 * images
        decoded = self._gray(levels) if levels.shape[1] == 1 else self._colour(levels)
        return decoded.clamp(0, 255) / 255

    def _constants_like(self, levels: Tensor) -> _Constants:
        """The constants on the device of the levels, copied there once."""
        key = (levels.device, levels.dtype)
        if key not in self._moved:
            self._moved[key] = _Constants(*(constant.to(levels) for constant in self._constants))
        return self._moved[key]

    def _gray(self, levels: Tensor) -> Tensor:
        constants = self._constants_like(levels)
        return _compressed(levels - _MIDDLE, constants.luminance, constants.transform) + _MIDDLE

    def _colour(self, levels: Tensor) -> Tensor:
        constants = self._constants_like(levels)
        matrix = constants.to_ycbcr
        luminance, chrominance = torch.einsum("rc,nchw->nrhw", matrix, levels).split([1, 2], dim=1)
        height, width = levels.shape[-2:]

        luminance = self._gray(luminance)
        halved = avg_pool2d(_padded(chrominance, 2), 2)
        halved = _compressed(halved, constants.chrominance, constants.transform)
        enlarged = interpolate(halved, scale_factor=2, mode="bilinear")[..., :height, :width]

        joined = torch.cat([luminance, enlarged], dim=1)
        return torch.einsum("cr,nrhw->nchw", torch.linalg.inv(matrix), joined)


def _quantization_steps(quality: int) -> tuple[Tensor, Tensor]:
    """The codec's steps (8, 8) of luminance and of chrominance, lowest frequencies first."""
    with BytesIO() as file:
        Image.new("RGB", (_BLOCK, _BLOCK)).save(file, "JPEG", quality=quality)
        tables = Image.open(file).quantization  # type: ignore[attr-defined]

    luminance, chrominance = (
        torch.tensor(tables[index], dtype=torch.float32).view(_BLOCK, _BLOCK) for index in (0, 1)
    )
    return luminance, chrominance


def _compressed(levels: Tensor, steps: Tensor, transform: Tensor) -> Tensor:
    """The levels (n, c, h, w) after the cosine transform of blocks, quantization, and back."""
    height, width = levels.shape[-2:]
    padded = _padded(levels, _BLOCK)
    blocks = padded.unfold(2, _BLOCK, _BLOCK).unfold(3, _BLOCK, _BLOCK)

    coefficients = transform @ blocks @ transform.T
    blocks = transform.T @ (_smoothly_rounded(coefficients / steps) * steps) @ transform

    return blocks.transpose(3, 4).reshape(padded.shape)[..., :height, :width]


def _smoothly_rounded(values: Tensor) -> Tensor:
    """The values drawn halfway to the nearest whole number, along a sine.

    The slope is 0.5 at a whole number and 1.5 between two. A steeper form, and the cubic one of
    Shin and Song (2017) whose slope is 0 at a whole number, gave the attacker less.
    """
    return values - torch.sin(2 * math.pi * values) / (4 * math.pi)


def _padded(levels: Tensor, multiple: int) -> Tensor:
    """The levels with their last row and column repeated up to a multiple of a size."""
    height, width = levels.shape[-2:]
    return pad(levels, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def _cosine_transform() -> Tensor:
    """The orthonormal cosine transform of eight samples, (frequencies, samples)."""
    index = torch.arange(_BLOCK, dtype=torch.float64)
    angles = (2 * index[None, :] + 1) * index[:, None] * math.pi / (2 * _BLOCK)
    transform = torch.cos(angles) * math.sqrt(2 / _BLOCK)
    transform[0] /= math.sqrt(2)
    return transform
