"""The data sets of a run: labelled images with a digest.

The test images of a run are the first of one fixed shuffle of the test set: 1,000 images are a fair
sample, and they are also the first 1,000 of 2,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

from bench.contracts import DataInfo, Dataset
from bench.errors import RequestError
from bench.failures import input_reason
from bench.plugins.configured import Configured, configure
from bench.plugins.faults import plugin_request
from bench.progress import Reporter, Silent
from bench.registry import DATASETS
from bench.spec import Spec
from bench.stages.image_sets import checked_splits
from bench.stages.loading import LoadingContext
from bench.stages.pixels import Split

_SHUFFLE_SEED = 0
"""Seed of the shuffle of the test set; another value would make it another benchmark."""

_KEPT = 4
"""Number of data sets that stay loaded."""


@dataclass(frozen=True, eq=False)
class LoadedDataset:
    """A data set on the CPU.

    Attributes:
        name: name on the command line, such as `mnist`.
        info: image shape and number of classes.
        train: training images; None for a data set that only evaluates.
        test: test images, shuffled.
        class_names: names of the classes; empty for numbers.
    """

    name: str
    info: DataInfo
    train: Split | None
    test: Split
    class_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, train: Split | None, test: Split, class_names: tuple[str, ...]) -> Self:
        """The data set of these images; classes without an image count if they have names."""
        largest = int((test if train is None else train).labels.max())
        info = DataInfo(test.pixels.shape, max(1 + largest, len(class_names)))

        return cls(name, info, train, test, class_names)

    def test_images(self, n: int) -> Split:
        """The first n images of the shuffled test set.

        Raises:
            RequestError: the test set has fewer than n images.
        """
        if n > len(self.test):
            raise RequestError(f"--n {n}: dataset '{self.name}' has {len(self.test)} test images")

        return self.test.chosen(torch.arange(n))


_loaded: dict[tuple[Spec, Path], LoadedDataset] = {}


def load_dataset(name: str, folder: Path, progress: Reporter | None = None) -> LoadedDataset:
    """The data set of a name or spec, such as `mnist` or `npz:file=images.npz`.

    Args:
        name: spec of a registered data set.
        folder: folder of all data sets; what is missing there is downloaded into it.
        progress: reporter of what takes long; None for none.

    Raises:
        RequestError: the name is unknown, the spec is wrong, a file is not as it must be, or one is
            missing and cannot be downloaded.
    """
    configured = configure(DATASETS, name)
    key = (configured.resolved, folder)
    if key not in _loaded:
        context = LoadingContext(f"load {configured.label}", folder, progress or Silent())
        _loaded[key] = loaded_dataset(configured, context)
        for surplus in list(_loaded)[:-_KEPT]:
            del _loaded[surplus]

    return _loaded[key]


def loaded_dataset(configured: Configured[Dataset], context: LoadingContext) -> LoadedDataset:
    """The data set of a plugin, loaded now.

    Raises:
        RequestError: the plugin raises, or its images have another form than the contract says.
    """
    name = configured.label
    with plugin_request(f"dataset '{name}'"):
        try:
            train, test, class_names = checked_splits(configured.plugin.load(context))
        except (ValueError, OSError) as error:
            raise RequestError(f"dataset '{name}': {input_reason(error)}") from error

    order = np.random.RandomState(_SHUFFLE_SEED).permutation(len(test))
    return LoadedDataset.of(name, train, test.chosen(torch.from_numpy(order)), class_names)
