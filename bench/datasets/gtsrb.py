"""GTSRB: Stallkamp, Schlipsing, Salmen, Igel, "Man vs. Computer", Neural Networks 32, 2012."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.contracts import Dataset, ImageSets, LabelledImages, LoadContext
from bench.datasets._pictures import array_of_all, size_of
from bench.datasets._torchvision import fetched
from bench.registry import register_dataset


@register_dataset("gtsrb")
@dataclass(frozen=True)
class GTSRB(Dataset):
    """German traffic signs of 43 kinds, in color, through torchvision (Stallkamp et al. 2012).

    26,640 training and 12,630 test pictures of 15 to 250 pixels, all scaled to one size. The
    pictures are decoded once into the folder of data sets.

    Attributes:
        size: side of the images in pixels, or HEIGHTxWIDTH.
    """

    size: str = "32"

    def __post_init__(self) -> None:
        size_of(self.size)

    def load(self, context: LoadContext) -> ImageSets:
        """The pictures, downloaded and decoded on first use."""
        return ImageSets(self._part("test", context), self._part("train", context))

    def _part(self, split: str, context: LoadContext) -> LabelledImages:
        pictures: Any = fetched("GTSRB", context.folder, split=split)
        names = [f"{split} picture {index}" for index in range(len(pictures))]
        images = array_of_all(
            names,
            lambda index: pictures[index][0],
            context,
            f"gtsrb {split} {len(pictures)}",
            size_of(self.size),
            "rgb",
        )
        # There is no public list of the labels, and decoding all pictures for them takes long.
        labels = np.array([label for _, label in pictures._samples], np.int64)
        return LabelledImages(images, labels, "last")
