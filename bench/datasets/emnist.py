"""EMNIST: Cohen, Afshar, Tapson, van Schaik (arXiv:1702.05373)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.contracts import Dataset, ImageSets, LabelledImages, LoadContext
from bench.datasets._torchvision import fetched
from bench.registry import register_dataset


@register_dataset("emnist")
@dataclass(frozen=True)
class EMNIST(Dataset):
    """Handwritten letters and digits, 28x28, through torchvision (arXiv:1702.05373).

    Its files hold the images transposed; here they are upright.

    Attributes:
        split: part of the collection: `balanced` (47 classes), `letters` (26), `digits` (10), or
            `mnist` (10).
    """

    split: Literal["balanced", "letters", "digits", "mnist"] = "balanced"

    def load(self, context: LoadContext) -> ImageSets:
        """The official arrays, downloaded on first use."""
        test, train = (
            fetched("EMNIST", context.folder, split=self.split, train=is_train)
            for is_train in (False, True)
        )
        # The labels of the letters begin at 1, and the first name stands for none.
        first = 1 if self.split == "letters" else 0
        test_images, train_images = (
            LabelledImages(part.data.transpose(1, 2).numpy(), part.targets.numpy() - first)
            for part in (test, train)
        )
        return ImageSets(test_images, train_images, tuple(test.classes[first:]))
