"""The plugin under test, with the small data and the small models that the checks use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.plugins.configured import Configured
from bench.progress import Silent
from bench.stages.datasets import LoadedDataset, load_dataset, loaded_dataset
from bench.stages.decisions import makes_images
from bench.stages.guard import Guarded
from bench.stages.loading import LoadingContext
from bench.stages.pixels import Split
from bench.stages.seeding import seeded
from bench.stages.train import fitted
from bench.stages.training import TrainingContext

CPU = torch.device("cpu")

GLOBAL_GENERATORS = "draw randomness from the global generators of torch, NumPy or random only"
"""The remedy for a plugin that is not repeatable."""

_STEPS = 2
"""Number of steps to which a training is cut."""

_IMAGES = 3
"""Number of images that the checks use."""


class Linear(nn.Module):
    """A differentiable classifier without training: the nearest mean image of the classes.

    Args:
        images: training images, float32 (n, c, h, w).
        labels: int64 (n,), their classes.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        super().__init__()
        means = torch.stack(
            [images[labels == label].mean(dim=0).flatten() for label in labels.unique()]
        )
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
        data: folder of all data sets, for a data set.
    """

    family: str
    configured: Configured[Any]
    data: Path = Path()

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

    @cached_property
    def split(self) -> tuple[Tensor, Tensor]:
        """Training images (n, c, h, w) and labels (n,) of the digits."""
        train = load_dataset("digits", Path()).train
        if train is None:
            raise TypeError("the digits have training images")
        return train.images, train.labels

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
        return Linear(*self.split).eval()

    def context(self) -> TrainingContext:
        """A training context that is cut to a few steps."""
        uses_classifier = getattr(self.configured.plugin, "uses_classifier", False)

        return TrainingContext(
            title=self.description,
            data=load_dataset("digits", Path()).info,
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
        """The module's checked output under the seed of a draw.

        Images of a purifier, logits of a classifier and of a defense that only decides.
        """
        if self.family == "defense" and not makes_images(module):
            return self.decision(module, images, draw)

        classes = self.context().data.classes if self.family == "classifier" else None
        guarded = Guarded(self.description, module, classes)
        with seeded(CPU, "conformance", draw), torch.no_grad():
            result: Tensor = guarded(images)

        return result

    def decision(self, module: nn.Module, images: Tensor, draw: int = 0) -> Tensor:
        """The checked logits of a defense that decides by itself, under the seed of a draw."""
        classes = self.context().data.classes
        classifier = Guarded("the classifier of the check", self.classifier, classes)
        with seeded(CPU, "conformance", draw), torch.no_grad():
            return Guarded(self.description, module, None).classify(images, classifier).logits


Check = Callable[[Subject], None]
"""A check: its docstring describes it, and it raises `PluginFault` with the reason if it fails."""
