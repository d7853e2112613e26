"""Checks of what a data set gives: form and range of images, labels and class names."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts import ImageSets, LabelledImages
from bench.stages.pixels import Pixels, Split
from bench.text import LONGEST_NAME, one_line

_LARGEST_CLASS = 32_767
"""Largest number of a class, which outcomes keep in 16 bits."""

_FEWEST_CLASSES = 2
"""Smallest number of classes: among fewer there is nothing to choose, and no attack."""

_CHANNELS = (1, 3)

_CHUNK = 4096
"""Number of images whose range is looked at at once."""

_SHAPES = "(n, height, width), or one or three channels before or after them"


def checked_splits(sets: object) -> tuple[Split | None, Split, tuple[str, ...]]:
    """Training images, test images and names of the classes; None for no training images.

    Raises:
        ValueError: an array has another form or range; the text says which.
    """
    if not isinstance(sets, ImageSets):
        raise ValueError(f"load() must return ImageSets, not {type(sets).__name__}")

    test = _checked("test", sets.test)
    train = _checked("training", sets.train) if sets.train is not None else None
    if train is not None and train.pixels.shape != test.pixels.shape:
        shapes = f"{train.pixels.shape} and {test.pixels.shape}"
        raise ValueError(f"the images of training and test have shapes {shapes}")
    if train is not None and int(test.labels.max()) > int(train.labels.max()):
        raise ValueError(
            f"the test labels have class {int(test.labels.max())}, which the training labels lack"
        )

    names = tuple(one_line(str(name), LONGEST_NAME) for name in sets.class_names)
    needed = 1 + int((test if train is None else train).labels.max())
    if names and len(names) < needed:
        raise ValueError(f"there are {needed} classes and {len(names)} names of classes")
    if max(needed, len(names)) < _FEWEST_CLASSES:
        raise ValueError(f"all labels are class 0: give {_FEWEST_CLASSES} classes or more")

    return train, test, names


def _checked(part: str, given: LabelledImages) -> Split:
    """A part of a data set."""
    pixels = _pixels(f"the {part} images", given)
    labels = _labels(f"the {part} labels", np.asarray(given.labels))
    if len(pixels) != len(labels) or not len(labels):
        raise ValueError(f"there are {len(pixels)} {part} images and {len(labels)} {part} labels")

    return Split(pixels, labels)


def _pixels(name: str, given: LabelledImages) -> Pixels:
    array = _with_channels(name, given)
    mapped = isinstance(array, np.memmap)
    if array.dtype == np.uint8:
        return Pixels(_tensor(array), mapped=mapped)
    if array.dtype.kind != "f":
        raise ValueError(f"{name} have type {array.dtype}: give uint8, or numbers in [0, 1]")

    for start in range(0, len(array), _CHUNK):
        part = array[start : start + _CHUNK]
        low, high = float(part.min()), float(part.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"{name} have numbers from {low:g} to {high:g}, not in [0, 1]")

    return Pixels(_tensor(array.astype(np.float32, copy=False)), mapped=mapped)


def _tensor(array: NDArray[Any]) -> Tensor:
    """A tensor that shares the memory of an array where torch can."""
    can_share = array.flags.writeable and all(stride >= 0 for stride in array.strides)
    return torch.from_numpy(array if can_share else array.copy())


def _with_channels(name: str, given: LabelledImages) -> NDArray[Any]:
    """Images (n, channels, height, width)."""
    array = given.images
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} are {type(array).__name__}, not a NumPy array")
    if array.ndim == 3:
        return array[:, None]

    first = array.ndim == 4 and array.shape[1] in _CHANNELS and given.channels != "last"
    last = array.ndim == 4 and array.shape[-1] in _CHANNELS and given.channels != "first"
    if first and last:
        raise ValueError(
            f"{name} have shape {array.shape}: say whether channels come first or last"
        )
    if first:
        return array
    if last:
        return array.transpose(0, 3, 1, 2)

    raise ValueError(f"{name} have shape {array.shape}: give {_SHAPES}")


def _labels(name: str, array: NDArray[Any]) -> Tensor:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} have type {array.dtype} and shape {array.shape}: give integers (n,)"
        )
    if len(array) and int(array.min()) < 0:
        raise ValueError(f"{name} have a negative class")
    if len(array) and int(array.max()) > _LARGEST_CLASS:
        raise ValueError(f"{name} have class {array.max()}, above {_LARGEST_CLASS}")

    return torch.from_numpy(array.astype(np.int64))
