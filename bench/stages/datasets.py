"""The data sets: float32 images in [0, 1], NCHW, with int64 labels and a digest of both.

The test images of a run are the first of one fixed shuffle of the test set: 1,000 images are a fair
sample, and they are also the first 1,000 of 2,000.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from bench.contracts import DataInfo
from bench.errors import RequestError, unknown
from bench.plugins.catalog import DATASETS
from bench.spec import Spec
from bench.stages.downloads import download
from bench.stages.npz import read_npz
from bench.stages.originals import ORIGINALS, OriginalSet

OWN = "npz"
"""Name of the data set whose images come from a file of the user."""

_SHUFFLE_SEED = 0
"""Seed of the shuffle of the test set; another value would make it another benchmark."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels.

    Attributes:
        images: float32 (n, channels, height, width) in [0, 1].
        labels: int64 (n,), the true classes.
        digest: SHA-256 digest of images and labels.
    """

    images: Tensor
    labels: Tensor
    digest: str

    @classmethod
    def of(cls, images: Tensor, labels: Tensor) -> Split:
        """The split of images and labels on the CPU, with its digest computed."""
        digest = hashlib.sha256(f"{tuple(images.shape)}".encode())
        digest.update(images.contiguous().numpy().data)
        digest.update(labels.contiguous().numpy().data)

        return cls(images, labels, digest.hexdigest())

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set on the CPU.

    Attributes:
        name: name on the command line, such as `mnist`.
        info: image shape and number of classes.
        train: training images.
        test: test images, shuffled.
    """

    name: str
    info: DataInfo
    train: Split
    test: Split

    def test_images(self, n: int) -> Split:
        """The first n images of the shuffled test set.

        Raises:
            RequestError: the test set has fewer than n images.
        """
        if n > len(self.test):
            raise RequestError(f"--n {n}: dataset '{self.name}' has {len(self.test)} test images")

        return Split.of(self.test.images[:n], self.test.labels[:n])


def load_dataset(name: str, folder: Path) -> Dataset:
    """The data set of a name or spec, such as `mnist` or `npz:file=images.npz`.

    Args:
        name: name of a published data set, or the spec of images of one's own.
        folder: folder of the published data sets; what is missing there is downloaded into it.

    Raises:
        RequestError: the name is unknown, the spec is wrong, a file is not the original, or one is
            missing and cannot be downloaded.
    """
    spec = Spec.parse(name)
    if spec.name not in DATASETS:
        raise unknown("dataset", spec.name, DATASETS)
    if spec.name != OWN and spec.parameters:
        raise RequestError(f"dataset '{spec.name}' has no parameters: '{name}'")

    return _load(name, folder)


@lru_cache(maxsize=4)
def _load(name: str, folder: Path) -> Dataset:
    return _LOADERS[Spec.parse(name).name](name, folder)


def _digits(name: str, _folder: Path) -> Dataset:
    """The 1,797 scans that come with scikit-learn, scaled from 8x8 to 28x28.

    Source: UCI optical recognition of handwritten digits.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    raw = load_digits()
    small = torch.from_numpy(raw.images.astype(np.float32) / 16.0)[:, None]
    images = interpolate(small, size=(28, 28), mode="bilinear", align_corners=False).clamp(0, 1)
    labels = torch.from_numpy(raw.target.astype(np.int64))

    train, test = train_test_split(
        np.arange(len(labels)), test_size=500, random_state=_SHUFFLE_SEED, stratify=labels
    )

    return _dataset(name, (images[train], labels[train]), (images[test], labels[test]))


def _original(name: str, folder: Path) -> Dataset:
    """MNIST or Fashion-MNIST, the original files only."""
    return original_dataset(ORIGINALS[name], folder)


def original_dataset(original: OriginalSet, folder: Path) -> Dataset:
    """The data set of original files in `folder`; files that are not there are downloaded into it.

    Args:
        original: names and digests of the files.
        folder: folder of all data sets.

    Raises:
        RequestError: a file is not the original, or is missing and cannot be downloaded.
    """
    arrays = original.arrays(folder)
    missing = [file for file in original.files if file not in arrays]
    if missing:
        download(original, missing, folder)
        arrays = original.arrays(folder)

    train, test = (
        (
            torch.from_numpy(arrays[images][:, None].astype(np.float32)).div_(255.0),
            torch.from_numpy(arrays[labels].astype(np.int64)),
        )
        for images, labels in (
            (original.train_images, original.train_labels),
            (original.test_images, original.test_labels),
        )
    )

    return _dataset(original.dataset, train, test)


def _dataset(name: str, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> Dataset:
    """A data set with its test images shuffled."""
    images, labels = test
    order = torch.from_numpy(np.random.RandomState(_SHUFFLE_SEED).permutation(len(labels)))
    shape = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
    info = DataInfo(shape, int(train[1].max()) + 1)

    return Dataset(name, info, Split.of(*train), Split.of(images[order], labels[order]))


def _own(name: str, _folder: Path) -> Dataset:
    """Images of one's own, see `bench.stages.npz`."""
    parameters = dict(Spec.parse(name).parameters)
    for parameter in parameters:
        if parameter != "file":
            raise unknown(f"parameter of dataset '{OWN}':", parameter, ["file"])
    if "file" not in parameters:
        raise RequestError(f"dataset '{OWN}' needs a file: write {OWN}:file=PATH")

    return _dataset(name, *read_npz(Path(parameters["file"])))


_LOADERS: dict[str, Callable[[str, Path], Dataset]] = {
    "digits": _digits,
    OWN: _own,
    **dict.fromkeys(ORIGINALS, _original),
}
