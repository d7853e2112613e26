"""The plugin under test, with the small data and the small models that the checks use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo
from bench.plugins.configured import Configured
from bench.progress import Silent
from bench.stages.datasets import LoadedDataset, load_dataset, loaded_dataset
from bench.stages.guard import Guarded
from bench.stages.loading import LoadingContext
from bench.stages.pixels import Split
from bench.stages.seeding import seeded
from bench.stages.train import fitted
from bench.stages.training import TrainingContext

CPU = torch.device("cpu")

GLOBAL_GENERATORS = "draw randomness from the global generators of torch, NumPy or random only"
"""The remedy for a plugin that is not repeatable."""

DIGITS = "digits"
"""Spec of the data set that checks use by default, which comes with scikit-learn."""

_MOST_IMAGES = 2000
"""Largest number of images that the checks keep in memory; the digits are fewer."""

_STEPS = 2
"""Number of steps to which a training is cut."""

_IMAGES = 3
"""Number of images that the checks use."""


class Linear(nn.Module):
    """A differentiable classifier without training: the nearest mean image of the classes.

    Args:
        images: training images, float32 (n, c, h, w).
        labels: int64 (n,), their classes.
        classes: number of classes; one without an image counts as black.
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: int) -> None:
        super().__init__()
        means = images.new_zeros(classes, images[0].numel())
        for label in labels.unique():
            means[label] = images[labels == label].mean(dim=0).flatten()
        self.weight = nn.Parameter(means, requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """Minus half the squared distance to each mean, up to a term common to all classes."""
        return images.flatten(1) @ self.weight.T - 0.5 * (self.weight**2).sum(dim=1)


@dataclass(frozen=True, eq=False)
class Subject:
    """A plugin under test.

    Attributes:
        family: family of the plugin, such as `defense`.
        configured: plugin with its parameters.
        data: folder of all data sets.
        on: spec of the data set whose images a network is given; `digits` needs no folder.
    """

    family: str
    configured: Configured[Any]
    data: Path = Path()
    on: str = DIGITS

    @property
    def description(self) -> str:
        """Family and spec of the plugin, as messages name it."""
        return f"{self.family} {self.configured.label}"

    @cached_property
    def dataset(self) -> LoadedDataset:
        """The data set under test, loaded once.

        Raises:
            RequestError: it cannot be loaded, or its images or labels have another form.
        """
        return self.load()

    def load(self) -> LoadedDataset:
        """The data set under test, loaded now; errors as those of `dataset`."""
        context = LoadingContext(self.description, self.data, Silent())
        return loaded_dataset(self.configured, context)

    @property
    def info(self) -> DataInfo:
        """Image shape and number of classes of the images that the checks use."""
        return load_dataset(self.on, self.data).info

    @cached_property
    def split(self) -> tuple[Tensor, Tensor]:
        """Images (n, c, h, w) and labels (n,), at most 2000, from all of the training set.

        Of a data set without training images they are test images.
        """
        dataset = load_dataset(self.on, self.data)
        whole = dataset.test if dataset.train is None else dataset.train
        part = whole.chosen(torch.arange(0, len(whole), -(-len(whole) // _MOST_IMAGES)))
        return part.images, part.labels

    @cached_property
    def images(self) -> Tensor:
        """The first training images."""
        return self.split[0][:_IMAGES]

    @cached_property
    def labels(self) -> Tensor:
        """The classes of `images`."""
        return self.split[1][:_IMAGES]

    @cached_property
    def classifier(self) -> nn.Module:
        """A frozen classifier to train against and to attack."""
        return Linear(*self.split, self.info.classes).eval()

    def context(self) -> TrainingContext:
        """A training context that is cut to a few steps."""
        uses_classifier = getattr(self.configured.plugin, "uses_classifier", False)

        return TrainingContext(
            title=self.description,
            data=self.info,
            split=Split.of(*self.split),
            seed="conformance",
            progress=Silent(),
            classifier=self.classifier if uses_classifier else None,
            max_steps=_STEPS,
        )

    def fit(self) -> nn.Module:
        """A newly built and briefly fitted module, under the same seed every time."""
        plugin = self.configured.trained.plugin
        with seeded(CPU, "conformance", "fit"):
            module = fitted(plugin, self.description, self.context(), CPU)

        return self.configured.around(module)

    @cached_property
    def module(self) -> nn.Module:
        """The briefly fitted module that the checks share."""
        return self.fit()

    def output(self, module: nn.Module, images: Tensor, draw: int = 0) -> Tensor:
        """The module's checked output under the seed of a draw."""
        classes = self.info.classes if self.family == "classifier" else None
        guarded = Guarded(self.description, module, classes)
        with seeded(CPU, "conformance", draw), torch.no_grad():
            result: Tensor = guarded(images)

        return result


Check = Callable[[Subject], None]
"""A check: its docstring describes it, and it raises `PluginFault` with the reason if it fails."""
