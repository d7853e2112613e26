"""CIFAR-10: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.contracts import Dataset, ImageSets, LabelledImages, LoadContext
from bench.datasets._torchvision import fetched
from bench.registry import register_dataset


@register_dataset("cifar10")
@dataclass(frozen=True)
class CIFAR10(Dataset):
    """Photographs of ten kinds of objects, 3x32x32, through torchvision (Krizhevsky 2009).

    50,000 training and 10,000 test images.
    """

    def load(self, context: LoadContext) -> ImageSets:
        """The official arrays, downloaded on first use."""
        train, test = (
            fetched("CIFAR10", context.folder, train=is_train) for is_train in (True, False)
        )
        test_images, train_images = (
            LabelledImages(part.data, np.asarray(part.targets), "last") for part in (test, train)
        )
        return ImageSets(test_images, train_images, tuple(test.classes))
