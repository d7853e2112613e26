"""Kuzushiji-MNIST: Clanuwat et al. (arXiv:1812.01718)."""

from __future__ import annotations

from dataclasses import dataclass

from bench.contracts import Dataset, ImageSets, LabelledImages, LoadContext
from bench.datasets._torchvision import fetched
from bench.registry import register_dataset


@register_dataset("kmnist")
@dataclass(frozen=True)
class KMNIST(Dataset):
    """Cursive Japanese characters, 28x28, through torchvision (arXiv:1812.01718; CC BY-SA 4.0).

    60,000 training and 10,000 test images of ten characters.
    """

    def load(self, context: LoadContext) -> ImageSets:
        """The official arrays, downloaded on first use."""
        test, train = (
            fetched("KMNIST", context.folder, train=is_train) for is_train in (False, True)
        )
        test_images, train_images = (
            LabelledImages(part.data.numpy(), part.targets.numpy()) for part in (test, train)
        )
        return ImageSets(test_images, train_images, tuple(test.classes))
