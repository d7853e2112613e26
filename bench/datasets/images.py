"""Images of one's own in folders, a folder for each class."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.contracts import Dataset, Fraction, ImageSets, LabelledImages, LoadContext
from bench.datasets._pictures import Colors, array_of_all, size_of
from bench.registry import register_dataset

if TYPE_CHECKING:
    from PIL.Image import Image

_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp"}
)

_SPLIT_SEED = 0
"""Seed of the split of one folder; another value would make it another benchmark."""


@register_dataset("images")
@dataclass(frozen=True)
class ImageFolder(Dataset):
    """Images of your own in folders: PATH/train/CLASS/*.png and PATH/test/CLASS/*.png.

    The layout is that of torchvision's `ImageFolder`, with PNG, JPEG and other formats that Pillow
    reads. PATH/CLASS/*.png without `train` and `test` is split; without `train` nothing can be
    trained. The classes are the folders in alphabetical order. The pictures are decoded once into
    the folder of data sets.

    Attributes:
        path: path of the folder.
        size: side of the images in pixels, or HEIGHTxWIDTH; other pictures are scaled to it. None
            if all have one size.
        colors: `gray`, `rgb`, or `auto` for what the pictures have.
        test_share: share of each class that is for test where one folder is split, in [0, 1].
    """

    path: str
    size: str | None = None
    colors: Colors = "auto"
    test_share: Fraction = 0.2

    def __post_init__(self) -> None:
        size_of(self.size)

    def load(self, context: LoadContext) -> ImageSets:
        """The pictures, decoded once and then memory-mapped."""
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise ValueError(f"the folder {root} does not exist")

        parts = {name: root / name for name in ("train", "test") if (root / name).is_dir()}
        if "test" not in parts:
            names = _classes(root)
            train, test = _divided(_pictures(root, names), self.test_share)
        else:
            names = _classes(next(iter(parts.values())))
            test = _pictures(parts["test"], names)
            train = _pictures(parts["train"], names) if "train" in parts else []

        given = self._images(train, context) if train else None
        return ImageSets(self._images(test, context), given, names)

    def _images(self, pictures: list[Picture], context: LoadContext) -> LabelledImages:
        """Pictures as one array, with their classes."""
        images = array_of_all(
            [str(picture.file) for picture in pictures],
            lambda index: _opened(pictures[index].file),
            context,
            f"images {_digest(pictures)}",
            size_of(self.size),
            self.colors,
        )
        labels = np.array([picture.label for picture in pictures], np.int64)
        return LabelledImages(images, labels, "last")


class Picture(NamedTuple):
    """A picture's file, and the number of its class."""

    file: Path
    label: int


def _opened(file: Path) -> Image:
    """A picture, decoded.

    Raises:
        ValueError: the file is not a picture.
    """
    from PIL import Image

    try:
        with Image.open(file) as picture:
            picture.load()
            return picture
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system, not of Pillow
            raise
        raise ValueError(f"{file} is not a picture that can be read") from None


def _pictures(folder: Path, names: tuple[str, ...]) -> list[Picture]:
    """The pictures of all classes.

    Raises:
        ValueError: a class is in this folder alone, or has no pictures.
    """
    unknown = sorted(set(_classes(folder)) - set(names))
    if unknown:
        raise ValueError(f"class '{unknown[0]}' is in {folder} alone")

    return [
        Picture(file, label) for label, name in enumerate(names) for file in _files(folder / name)
    ]


def _classes(folder: Path) -> tuple[str, ...]:
    """The names of the class folders.

    Raises:
        ValueError: there is none.
    """
    names = sorted(path.name for path in folder.iterdir() if _is_class(path))
    if not names:
        raise ValueError(f"the folder {folder} has no folder for a class with pictures in it")
    return tuple(names)


def _is_class(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _files(folder: Path) -> list[Path]:
    """The pictures of a class, in alphabetical order.

    Raises:
        ValueError: there is none.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise ValueError(
            f"the class folder {folder} has no pictures ({', '.join(sorted(_SUFFIXES))})"
        )
    return files


def _digest(pictures: list[Picture]) -> str:
    """A digest of the paths, sizes and times of files."""
    digest = hashlib.sha256()
    for file, _ in pictures:
        found = file.stat()
        digest.update(f"{file.resolve()}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())

    return digest.hexdigest()


def _divided(pictures: list[Picture], share: float) -> tuple[list[Picture], list[Picture]]:
    """Pictures for training and for test: about a share of each class, and at least one."""
    labels = np.array([picture.label for picture in pictures])
    random = np.random.RandomState(_SPLIT_SEED)
    is_test = np.zeros(len(pictures), bool)

    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        count = min(max(1, round(share * len(places))), max(1, len(places) - 1))
        is_test[random.permutation(places)[:count]] = True

    return (
        [picture for picture, test in zip(pictures, is_test, strict=True) if not test],
        [picture for picture, test in zip(pictures, is_test, strict=True) if test],
    )
