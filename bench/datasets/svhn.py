"""SVHN: Netzer et al., "Reading Digits in Natural Images", 2011."""

from __future__ import annotations

from dataclasses import dataclass

from bench.contracts import Dataset, ImageSets, LabelledImages, LoadContext
from bench.datasets._torchvision import fetched
from bench.registry import register_dataset


@register_dataset("svhn")
@dataclass(frozen=True)
class SVHN(Dataset):
    """House numbers from street views, 3x32x32, through torchvision (Netzer et al. 2011).

    73,257 training and 26,032 test images; the class is the digit in the middle.
    """

    def load(self, context: LoadContext) -> ImageSets:
        """The official arrays, downloaded on first use."""
        folder = context.folder / "SVHN"
        test, train = (fetched("SVHN", folder, split=split) for split in ("test", "train"))
        test_images, train_images = (
            LabelledImages(part.data, part.labels, "first") for part in (test, train)
        )

        return ImageSets(test_images, train_images)
