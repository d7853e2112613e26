"""Sheets: the images of a strip side by side in one PNG file, pixel by pixel."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from bench.report.pictures.strips import Strip

_DIVERGING = colormaps["RdBu_r"]
"""Colors of differences, as in figures: red above zero, blue below."""


def sheet_of(strip: Strip) -> bytes:
    """The images of a strip from left to right, without a gap, as a PNG file.

    Images of three channels are in color, others show the mean of their channels: in grey, or
    differences in two colors.
    """
    pixels = np.round(255 * _colors(strip)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.concatenate(list(pixels), axis=1)).save(file, "PNG", optimize=True)

    return file.getvalue()


def _colors(strip: Strip) -> NDArray[Any]:
    """Values in [0, 1], (n, height, width) for grey and (n, height, width, 3) for colors."""
    low, high = strip.scale
    shares = np.clip((strip.images - low) / (high - low), 0, 1)
    if shares.shape[1] == 3:
        return np.moveaxis(shares, 1, -1)

    grey = shares.mean(axis=1)
    return grey if low == 0 else np.asarray(_DIVERGING(grey))[..., :3]
