"""The first images of a cell, for pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bench.records.arrays import PIXELS, check_array

Array = NDArray[Any]

_MOST_IMAGES = 100
_MOST_CHANNELS = 16
_LONGEST_SIDE = 4096
"""Largest number of images of a cell that are kept, and bounds of their shape."""

EMBEDDED = ("sample_clean", "sample_adversarial", "sample_purified")
"""Images that version 0.1.0 kept in the file of every outcome."""


@dataclass(frozen=True, eq=False)
class CellImages:
    """The first k images of a cell, for pictures; uint8 (k, channels, height, width).

    Attributes:
        clean: images of the test set.
        adversarial: adversarial versions of the clean images.
        purified: adversarial images after the defense, in its first draw.
    """

    clean: Array
    adversarial: Array
    purified: Array

    @classmethod
    def embedded_in(cls, arrays: Mapping[str, Array]) -> Self | None:
        """The images that version 0.1.0 kept with an outcome; None where there are none."""
        if any(name not in arrays for name in EMBEDDED):
            return None
        return cls(*(arrays[name] for name in EMBEDDED))

    def check(self) -> None:
        """Check that the three arrays are a few images of one shape.

        Raises:
            ValueError: an array is something else.
        """
        shape = self.clean.shape
        if len(shape) != 4:
            raise ValueError(f"array 'clean' has {len(shape)} dimensions instead of 4")

        count, channels, *sides = shape
        fits = (
            1 <= count <= _MOST_IMAGES
            and 1 <= channels <= _MOST_CHANNELS
            and all(1 <= side <= _LONGEST_SIDE for side in sides)
        )
        if not fits:
            raise ValueError(f"array 'clean' has the shape {shape}, which is not of a few images")

        for member in fields(self):
            check_array(member.name, getattr(self, member.name), shape, PIXELS)


def as_pixels(images: Array) -> Array:
    """Images in [0, 1] as uint8 pixels in [0, 255]."""
    return np.round(images * 255).astype(np.uint8)
