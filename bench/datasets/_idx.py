"""The images of data sets in the format of MNIST, from their original files alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.contracts import ImageSets, LabelledImages
from bench.datasets._downloads import download
from bench.store.originals import OriginalSet


def original_images(
    original: OriginalSet, folder: Path, class_names: tuple[str, ...] = ()
) -> ImageSets:
    """The images of original files in `folder`; files that are not there are downloaded into it.

    Args:
        original: names and digests of the files.
        folder: folder of all data sets.
        class_names: names of the classes; empty for numbers.

    Raises:
        RequestError: a file is not the original, or is missing and cannot be downloaded.
    """
    arrays = original.arrays(folder)
    missing = [file for file in original.files if file not in arrays]
    if missing:
        download(original, missing, folder)
        arrays = original.arrays(folder)

    train, test = (
        LabelledImages(arrays[images], arrays[labels].astype(np.int64))
        for images, labels in (
            (original.train_images, original.train_labels),
            (original.test_images, original.test_labels),
        )
    )
    return ImageSets(test, train, class_names)
