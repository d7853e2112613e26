"""The original files of published data sets: read, and compared with their known digests.

A file is taken as it is, or from the `.gz` archive beside it, which is unpacked in memory. A file
with other content is refused, so that no other images are reported under the name of the data set.
"""

from __future__ import annotations

import hashlib
import logging
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import RequestError
from bench.store.reading import MEBIBYTE, Unreadable, read_bytes

_GZIP = 31
"""Value of `wbits` with which zlib reads the gzip format and checks its sum."""

_UNSIGNED_BYTES = 8
"""Code of the IDX format for unsigned bytes."""

logger = logging.getLogger("bench")


class NotOriginal(ValueError):
    """A file whose content is not the original; the text says what it is instead."""


@dataclass(frozen=True)
class OriginalFile:
    """A file of unsigned bytes in the IDX format of MNIST.

    Attributes:
        name: name of the file.
        shape: shape of its array.
        sha256: SHA-256 digest of the content, 64 hexadecimal digits.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def archive(self) -> str:
        """The name of the file compressed by gzip."""
        return f"{self.name}.gz"

    @property
    def size(self) -> int:
        """The number of bytes of the content."""
        return self._header_size + math.prod(self.shape)

    def array(self, content: bytes) -> NDArray[np.uint8]:
        """The array in the original content, read-only.

        Raises:
            NotOriginal: the content is not the original.
        """
        if len(content) > self.size:
            raise NotOriginal(f"it has more than {self.size} bytes")
        if len(content) < self.size:
            raise NotOriginal(f"it has {len(content)} bytes, not {self.size}")
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise NotOriginal("its content has another SHA-256 digest")

        values = np.frombuffer(content, np.uint8, offset=self._header_size)
        return values.reshape(self.shape)

    @property
    def _header_size(self) -> int:
        """The number of bytes before the values: a code of 4 bytes, and 4 for each axis."""
        return 4 * (1 + len(self.shape))


@dataclass(frozen=True)
class OriginalSet:
    """The four files of a data set in the format of MNIST.

    Attributes:
        dataset: name of the data set on the command line.
        source: name of its class in `torchvision.datasets`, and of its folder.
        train_images: training images (n, height, width).
        train_labels: classes (n,) of the training images.
        test_images: test images (n, height, width).
        test_labels: classes (n,) of the test images.
    """

    dataset: str
    source: str
    train_images: OriginalFile
    train_labels: OriginalFile
    test_images: OriginalFile
    test_labels: OriginalFile

    @property
    def files(self) -> tuple[OriginalFile, ...]:
        """The four files in the order of the attributes."""
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)

    def raw_folder(self, data: Path) -> Path:
        """The folder of the files below the folder of all data sets, as torchvision names it."""
        return data / self.source / "raw"

    def arrays(self, data: Path) -> dict[OriginalFile, NDArray[np.uint8]]:
        """The arrays of the files that are there; a file that is missing is left out.

        Args:
            data: folder of all data sets.

        Raises:
            RequestError: a file is not the original, or cannot be read.
        """
        found = {file: self._array(self.raw_folder(data), file) for file in self.files}
        return {file: array for file, array in found.items() if array is not None}

    def _array(self, folder: Path, file: OriginalFile) -> NDArray[np.uint8] | None:
        """The array of a file, from the file itself or its archive; None if neither is there."""
        faults = {}
        for name, read in ((file.name, read_bytes), (file.archive, _unpacked)):
            try:
                array = file.array(read(folder / name, file.size))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, NotOriginal, Unreadable) as error:
                faults[name] = getattr(error, "strerror", None) or str(error)
                continue

            if faults:
                logger.warning("%s; %s is read in its place", self._fault(folder, faults), name)
            return array

        if faults:
            raise RequestError(f"{self._fault(folder, faults)}; {self._remedy(file, faults)}")
        return None

    def _fault(self, folder: Path, faults: dict[str, str]) -> str:
        """The text that a file is not the original, with the reason."""
        name, reason = next(iter(faults.items()))
        return f"{folder / name} is not the original file of dataset '{self.dataset}' ({reason})"

    def _remedy(self, file: OriginalFile, faults: dict[str, str]) -> str:
        return (
            f"put the original {file.archive} there, or remove {' and '.join(faults)}, so that the "
            "original is downloaded; `bench list` says how to use images of your own (npz)"
        )


def _unpacked(path: Path, size: int) -> bytes:
    """The first `size + 1` bytes at most of the content of an archive.

    Raises:
        NotOriginal: the archive is damaged.
    """
    # Compression makes nothing longer by more than a few bytes in ten thousand.
    archive = read_bytes(path, size + MEBIBYTE)
    try:
        return zlib.decompressobj(_GZIP).decompress(archive, size + 1)
    except zlib.error as error:
        raise NotOriginal(f"it is damaged: {error}") from None


def _original_set(dataset: str, source: str, *digests: str) -> OriginalSet:
    """A data set of 60,000 training and 10,000 test images of 28x28 pixels."""
    files = (
        OriginalFile(f"{part}-{kind}-idx{len(shape)}-ubyte", shape, digest)
        for (part, kind, shape), digest in zip(_FILES, digests, strict=True)
    )
    return OriginalSet(dataset, source, *files)


_FILES: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("train", "images", (60_000, 28, 28)),
    ("train", "labels", (60_000,)),
    ("t10k", "images", (10_000, 28, 28)),
    ("t10k", "labels", (10_000,)),
)

ORIGINALS = {
    original.dataset: original
    for original in (
        _original_set(
            "mnist",
            "MNIST",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        _original_set(
            "fashion_mnist",
            "FashionMNIST",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    )
}
"""The data sets whose original files are known, by name; the digests are those of the archives
whose MD5 sums torchvision publishes."""
