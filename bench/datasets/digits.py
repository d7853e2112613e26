"""The digits that come with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import interpolate

from bench.contracts import Dataset, ImageSets, LabelledImages, LoadContext
from bench.registry import register_dataset

_TEST_IMAGES = 500

_SPLIT_SEED = 0
"""Seed of the split; another value would make it another benchmark."""


@register_dataset("digits")
@dataclass(frozen=True)
class Digits(Dataset):
    """Handwritten digits: scikit-learn's 8x8 scans scaled to 28x28, with no download.

    1,797 images of the UCI optical recognition of handwritten digits, 500 of them for test.
    """

    def load(self, context: LoadContext) -> ImageSets:  # noqa: ARG002 - they come with scikit-learn
        """The images, in equal shares of the classes."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        raw = load_digits()
        small = torch.from_numpy(raw.images.astype(np.float32) / 16.0)[:, None]
        large = interpolate(small, size=(28, 28), mode="bilinear", align_corners=False).clamp(0, 1)
        images = large.numpy()
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
