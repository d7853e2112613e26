"""The digits that come with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from bench.contracts import (
    Dataset,
    ImageSets,
    LabelledImages,
    LoadContext,
    OmittedAt,
    PositiveInt,
)
from bench.registry import register_dataset

_TEST_IMAGES = 500

_SPLIT_SEED = 0
"""Seed of the split; another value would make it another benchmark."""

_DARKEST = 0.4
"""Least value of a channel of an image's color."""


@register_dataset("digits")
@dataclass(frozen=True)
class Digits(Dataset):
    """Handwritten digits: scikit-learn's 8x8 scans scaled to 28x28, with no download.

    1,797 images of the UCI optical recognition of handwritten digits, 500 of them for test.

    Attributes:
        colors: `gray` for one channel, `rgb` for three; then each image has a color of its own,
            which says nothing about its class.
        size: height and width in pixels, at least 1.
    """

    colors: Annotated[Literal["gray", "rgb"], OmittedAt("gray")] = "gray"
    size: Annotated[PositiveInt, OmittedAt(28)] = 28

    def load(self, context: LoadContext) -> ImageSets:  # noqa: ARG002 - they come with scikit-learn
        """The images, in equal shares of the classes."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        raw = load_digits()
        small = torch.from_numpy(raw.images.astype(np.float32) / 16.0)[:, None]
        sides = (self.size, self.size)
        large = interpolate(small, size=sides, mode="bilinear", align_corners=False).clamp(0, 1)
        images = (_colored(large) if self.colors == "rgb" else large).numpy()
        labels = raw.target.astype(np.int64)

        train, test = train_test_split(
            np.arange(len(labels)),
            test_size=_TEST_IMAGES,
            random_state=_SPLIT_SEED,
            stratify=labels,
        )
        return ImageSets(
            LabelledImages(images[test], labels[test]), LabelledImages(images[train], labels[train])
        )


def _colored(images: Tensor) -> Tensor:
    """Images (n, 3, h, w) of gray ones (n, 1, h, w), each in one color, the same every time."""
    colors = np.random.RandomState(_SPLIT_SEED).uniform(_DARKEST, 1, (len(images), 3, 1, 1))
    return images * torch.from_numpy(colors.astype(np.float32))
