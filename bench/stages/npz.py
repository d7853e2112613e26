"""Images of one's own: a data set from the arrays of an .npz file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.errors import RequestError
from bench.store.reading import Unreadable, check_regular
from bench.text import one_line

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""Names of the arrays: images and labels for training and test."""

_MOST_BYTES = 16 * 2**30
"""Largest size in bytes of the file, and of an array in it."""

_LARGEST_CLASS = 99_999
"""Largest number of a class; a network has an output for each up to the largest."""

_CHANNELS = (1, 3)

# A RuntimeError stands for encryption, and for a compression that Python does not know.
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, MemoryError, RuntimeError)
"""Exceptions with which NumPy and `zipfile` report an array that they cannot read."""

Images = tuple[Tensor, Tensor]


def read_npz(path: Path) -> tuple[Images, Images]:
    """The training and the test images in a file, each with their labels.

    The file holds `x_train`, `y_train`, `x_test` and `y_test`. Images are uint8, or floating-point
    numbers in [0, 1], of shape (n, height, width), (n, channels, height, width) or (n, height,
    width, channels) with one or three channels; labels are integers (n,) from 0 on.

    Args:
        path: file to read.

    Returns:
        two pairs of images, float32 (n, channels, height, width) in [0, 1], and labels, int64 (n,).

    Raises:
        RequestError: the file cannot be read, or an array is missing or has another form.
    """
    try:
        train, test = _parts(_arrays(path))
    except FileNotFoundError:
        raise RequestError(f"the data set file {path} does not exist") from None
    except OSError as error:
        reason = error.strerror or error
        raise RequestError(f"cannot read the data set file {path}: {reason}") from None
    except ValueError as error:
        raise RequestError(f"the data set file {path}: {error}") from None

    return train, test


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name.

    Raises:
        ValueError: the file is not an archive of arrays, lacks one, or is too large.
    """
    check_regular(path, _MOST_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    except _DAMAGES as error:
        raise Unreadable(f"it is not an .npz file ({one_line(str(error))})") from None

    for name in ARRAYS:
        if f"{name}.npy" not in sizes:
            raise Unreadable(f"it has no array '{name}' (needed: {', '.join(ARRAYS)})")
        if sizes[f"{name}.npy"] > _MOST_BYTES:
            raise Unreadable(f"array '{name}' has more than {_MOST_BYTES} bytes")

    try:
        # Pickled objects in a stranger's file could run any code.
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in ARRAYS}
    except _DAMAGES as error:
        raise Unreadable(f"an array is damaged ({one_line(str(error))})") from None


def _parts(arrays: dict[str, NDArray[Any]]) -> tuple[Images, Images]:
    train, test = (
        (_images(f"x_{part}", arrays), _labels(f"y_{part}", arrays)) for part in ("train", "test")
    )
    for part, (images, labels) in (("train", train), ("test", test)):
        if len(images) != len(labels) or not len(labels):
            raise Unreadable(f"x_{part} has {len(images)} images, y_{part} {len(labels)} labels")

    shapes = [tuple(images.shape[1:]) for images, _ in (train, test)]
    if shapes[0] != shapes[1]:
        raise Unreadable(f"the images of training and test have shapes {shapes[0]} and {shapes[1]}")
    if int(test[1].max()) > int(train[1].max()):
        raise Unreadable(f"y_test has class {int(test[1].max())}, which y_train lacks")

    return train, test


def _images(name: str, arrays: dict[str, NDArray[Any]]) -> Tensor:
    """Images (n, channels, height, width) in [0, 1]."""
    array = _with_channels(name, arrays[name])
    if array.dtype == np.uint8:
        return torch.from_numpy(array.astype(np.float32)).div_(255.0)
    if array.dtype.kind != "f":
        raise Unreadable(f"{name} has type {array.dtype}: give uint8, or numbers in [0, 1]")

    if array.size and not (float(array.min()) >= 0 and float(array.max()) <= 1):
        raise Unreadable(f"{name} has numbers outside [0, 1]")
    return torch.from_numpy(array.astype(np.float32))


def _with_channels(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and array.shape[1] in _CHANNELS:
        return array
    if array.ndim == 4 and array.shape[3] in _CHANNELS:
        return array.transpose(0, 3, 1, 2)

    raise Unreadable(
        f"{name} has shape {array.shape}: give (n, height, width), or one or three channels before "
        "or after them"
    )


def _labels(name: str, arrays: dict[str, NDArray[Any]]) -> Tensor:
    array = arrays[name]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise Unreadable(
            f"{name} has type {array.dtype} and shape {array.shape}: give integers (n,)"
        )
    if len(array) and int(array.min()) < 0:
        raise Unreadable(f"{name} has a negative class")
    if len(array) and int(array.max()) > _LARGEST_CLASS:
        raise Unreadable(f"{name} has class {array.max()}, above {_LARGEST_CLASS}")

    return torch.from_numpy(array.astype(np.int64))
