"""Data sets of the Hugging Face hub, through the package `datasets`."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.contracts import Dataset, ImageSets, LabelledImages, LoadContext
from bench.datasets._pictures import Colors, array_of_all, size_of
from bench.registry import register_dataset
from bench.text import LONGEST_LINE, one_line


@register_dataset("hf")
@dataclass(frozen=True)
class HuggingFace(Dataset):
    """Data set of the Hugging Face hub, hf:name=OWNER/NAME (needs the package `datasets`).

    Install it with `pip install 'purification-bench[hf]'`. The pictures are decoded once into the
    folder of data sets.

    Attributes:
        name: name on the hub, such as `ylecun/mnist`.
        config: name of one of its configurations; None for its default.
        train: name of the split for training; `none` for no training images.
        test: name of the split for test.
        image: name of the column of pictures.
        label: name of the column of classes.
        size: side of the images in pixels, or HEIGHTxWIDTH; None if all have one size.
        colors: `gray`, `rgb`, or `auto` for what the pictures have.
    """

    name: str
    config: str | None = None
    train: str = "train"
    test: str = "test"
    image: str = "image"
    label: str = "label"
    size: str | None = None
    colors: Colors = "auto"

    def __post_init__(self) -> None:
        size_of(self.size)

    def load(self, context: LoadContext) -> ImageSets:
        """The pictures of both splits, downloaded and decoded on first use."""
        splits = self._splits(context)
        test = self._part(splits, self.test, context)
        train = None if self.train == "none" else self._part(splits, self.train, context)
        names = getattr(splits[self.test].features[self.label], "names", ())

        return ImageSets(test, train, tuple(names))

    def _splits(self, context: LoadContext) -> Mapping[str, Any]:
        """The splits by name."""
        if importlib.util.find_spec("datasets") is None:
            raise ValueError("it needs the package datasets: pip install 'purification-bench[hf]'")
        import datasets  # type: ignore[import-not-found, unused-ignore]

        try:
            found = datasets.load_dataset(
                self.name, self.config, cache_dir=str(context.folder / "huggingface")
            )
        except Exception as error:
            reason = one_line(str(error), LONGEST_LINE) or type(error).__name__
            raise ValueError(f"cannot be loaded from the hub ({reason})") from error

        splits: Mapping[str, Any] = found
        return splits

    def _part(self, splits: Mapping[str, Any], split: str, context: LoadContext) -> LabelledImages:
        if split not in splits:
            raise ValueError(
                f"there is no split '{split}' (choose from: {', '.join(sorted(splits))})"
            )
        rows = splits[split]
        for column in (self.image, self.label):
            if column not in rows.column_names:
                columns = ", ".join(rows.column_names)
                raise ValueError(f"there is no column '{column}' (choose from: {columns})")

        images = array_of_all(
            [f"{split} picture {index}" for index in range(len(rows))],
            lambda index: rows[index][self.image],
            context,
            f"hf {self.name} {self.config} {split} {self.image} {rows._fingerprint}",
            size_of(self.size),
            self.colors,
        )
        return LabelledImages(images, np.asarray(rows[self.label]), "last")
