"""Contract of data sets: labelled images for training and test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from bench.contracts.plugin import Plugin

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LabelledImages(NamedTuple):
    """Images with their classes; the harness checks and converts both.

    Attributes:
        images: uint8, or floating-point numbers in [0, 1]; (n, height, width), (n, channels,
            height, width) or (n, height, width, channels), with one or three channels. A memory map
            stays one: its images are read a batch at a time.
        labels: integers (n,) from 0 on.
        channels: where the channels are; None if the shape of the images says it.
    """

    images: NDArray[Any]
    labels: NDArray[Any]
    channels: Literal["first", "last"] | None = None


@dataclass(frozen=True, eq=False)
class ImageSets:
    """What a data set consists of.

    Attributes:
        test: test images, which the harness shuffles once and for all.
        train: training images of the same shape; None for a data set that only evaluates.
        class_names: names of the classes in their order; empty for numbers.
    """

    test: LabelledImages
    train: LabelledImages | None = None
    class_names: Sequence[str] = ()


class LoadContext(Protocol):
    """Folder and services that the harness gives to `Dataset.load`."""

    @property
    def folder(self) -> Path:
        """Folder of all data sets (`--data`), for downloads; it may not exist yet."""

    def steps(self, total: int) -> Iterator[int]:
        """Steps 1 to `total` with a progress bar, for work that takes long."""

    def prepared(self, key: str, write: Callable[[Path], None]) -> NDArray[Any]:
        """An array that is made once and then memory-mapped, for what takes long or is large.

        Args:
            key: text that says what the array is made of, such as paths, sizes and times of files.
            write: function that writes the array as an `.npy` file to the path that it is given.

        Raises:
            OSError: the folder cannot be written.
        """


class Dataset(Plugin, ABC):
    """Data set: labelled images for training and test.

    The images count by their content: results are stored under a digest of them, not of the file or
    folder that they come from, and not of the code that reads them.
    """

    @abstractmethod
    def load(self, context: LoadContext) -> ImageSets:
        """The images.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file has another form; the text says which and what is needed.
        """
