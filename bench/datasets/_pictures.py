"""Pictures as arrays of bytes: their size, their colors, and one array of many."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from bench.contracts import LoadContext

if TYPE_CHECKING:
    from PIL.Image import Image

Colors = Literal["auto", "gray", "rgb"]
"""Colors of the images: those of the pictures, or gray, or red, green and blue."""

_SIZE = re.compile(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?")

_GRAY = frozenset({"1", "L", "I;16", "I", "F", "LA", "La"})
"""Pillow's modes of pictures without colors."""


def size_of(text: str | None) -> tuple[int, int] | None:
    """Height and width of `32` or `48x64`; None for the size that the pictures have.

    Raises:
        ValueError: the text has another form.
    """
    if text is None:
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"parameter size={text}: write one number, or HEIGHTxWIDTH such as 48x64")

    height = int(found[1])
    return height, int(found[2] or height)


def is_gray(picture: Image) -> bool:
    """Whether a picture has no colors."""
    return picture.mode in _GRAY


def array_of(picture: Image, size: tuple[int, int] | None, *, gray: bool) -> NDArray[np.uint8]:
    """A picture as bytes (height, width, channels), scaled to the size."""
    from PIL.Image import Resampling

    converted = picture.convert("L" if gray else "RGB")
    if size is not None and converted.size != size[::-1]:
        converted = converted.resize(size[::-1], Resampling.BILINEAR)

    pixels = np.asarray(converted, np.uint8)
    return pixels[..., None] if gray else pixels


def array_of_all(
    names: Sequence[str],
    read: Callable[[int], Image],
    context: LoadContext,
    key: str,
    size: tuple[int, int] | None,
    colors: Colors,
) -> NDArray[Any]:
    """Pictures as one memory-mapped array of bytes (n, height, width, channels), made once.

    Args:
        names: names of the pictures in messages.
        read: function that gives the picture of a position.
        context: context that keeps the array.
        key: text that says what the pictures are.
        size: height and width; None for those of the pictures.
        colors: colors; `auto` for those of the first picture.

    Raises:
        OSError: a picture cannot be read.
        ValueError: the pictures have different sizes and none is given.
    """
    first = read(0)
    gray = is_gray(first) if colors == "auto" else colors == "gray"

    def write(path: Path) -> None:
        shape = (len(names), *array_of(first, size, gray=gray).shape)
        array = open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        for number in context.steps(len(names)):
            picture = read(number - 1)
            if colors == "auto" and gray and not is_gray(picture):
                raise ValueError(
                    f"{names[0]} is gray and {names[number - 1]} has colors: give colors=gray or "
                    "colors=rgb"
                )
            pixels = array_of(picture, size, gray=gray)
            if pixels.shape != shape[1:]:
                sizes = "x".join(map(str, shape[1:3])), "x".join(map(str, pixels.shape[:2]))
                raise ValueError(
                    f"{names[0]} is {sizes[0]} and {names[number - 1]} is {sizes[1]}: give a size, "
                    f"such as size={sizes[0]}"
                )
            array[number - 1] = pixels
        array.flush()

    return context.prepared(f"{key} size {size} colors {'gray' if gray else 'rgb'}", write)
