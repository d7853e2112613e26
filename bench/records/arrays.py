"""Arrays of a run's files: the types, values and shapes that they may have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Domain:
    """The values that an array may hold.

    Attributes:
        kinds: kinds of its type, as NumPy abbreviates them.
        description: values in words.
        holds: function that says of each value whether it may be in the array.
    """

    kinds: str
    description: str
    holds: Callable[[Array], Array]


CLASSES = Domain("iu", "whole numbers from 0", lambda array: array >= 0)
DECISIONS = Domain("i", "whole numbers from 0, -1 for a rejection", lambda array: array >= -1)
FLAGS = Domain("b", "truth values", lambda array: array | True)
DISTANCES = Domain("f", "finite numbers from 0", lambda array: np.isfinite(array) & (array >= 0))
MINIMA = Domain("f", "numbers from 0", lambda array: array >= 0)
NORMS = Domain("f", "numbers from 0 or NaN", lambda array: np.isnan(array) | (array >= 0))
NUMBERS = Domain("f", "numbers or NaN", lambda array: ~np.isinf(array))
SHARES = Domain("f", "numbers from 0 to 1", lambda array: (array >= 0) & (array <= 1))
PIXELS = Domain("u", "bytes", lambda array: np.asarray(array.dtype.itemsize == 1))


def check_array(name: str, array: Array, shape: tuple[int, ...], domain: Domain) -> None:
    """Check the shape, the type and the values of an array.

    Raises:
        ValueError: one of them is not as stated.
    """
    if array.shape != shape:
        raise ValueError(f"array '{name}' has shape {array.shape} instead of {shape}")
    if array.dtype.kind not in domain.kinds or not np.all(domain.holds(array)):
        raise ValueError(f"array '{name}' must hold {domain.description}, in type {array.dtype}")
