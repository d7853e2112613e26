"""The plugin under test, with the small data and the small models that the checks use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo
from bench.errors import PluginFault
from bench.plugins.configured import Configured
from bench.plugins.process_state import first_process_state
from bench.progress import Reporter, Silent
from bench.stages.context import weights_of
from bench.stages.datasets import LoadedDataset, load_dataset, loaded_dataset
from bench.stages.decisions import makes_images
from bench.stages.guard import Guarded
from bench.stages.loading import LoadingContext
from bench.stages.pixels import Split
from bench.stages.seeding import seeded
from bench.stages.train import fitted, network_member
from bench.stages.training import TrainingContext
from bench.store.artifacts import digest_of

CPU = torch.device("cpu")

T = TypeVar("T")

GLOBAL_GENERATORS = "draw randomness from the global generators of torch, NumPy or random only"
"""The remedy for a plugin that is not repeatable."""

_STEPS = 2
"""Number of steps to which a training is cut."""

_IMAGES = 3
"""Number of images that the checks use."""

_SAMPLE = 2_000
"""Largest number of training images, of which each class has an equal share."""

DIGITS = "digits"
"""Data set on whose images a plugin is checked, unless another one is named."""

_FAR = 2.0
"""Value of the pixels of a mean image that no image is near."""


class Linear(nn.Module):
    """A differentiable classifier without training: the nearest mean image of the classes.

    Args:
        images: training images, float32 (n, c, h, w).
        labels: int64 (n,), their classes.
        classes: number of classes; one without an image is never predicted.
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: int) -> None:
        super().__init__()
        means = images.new_full((classes, images[0].numel()), _FAR)
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
        images_of: spec of the data set whose images any other plugin is checked on.
        device: device that it is checked on.
        progress: reporter of its training.
    """

    family: str
    configured: Configured[Any]
    data: Path = Path()
    images_of: str = DIGITS
    device: torch.device = CPU
    progress: Reporter = field(default_factory=Silent)
    _kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

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
    def given(self) -> LoadedDataset:
        """The data set whose images a plugin that is none itself is checked on.

        Raises:
            RequestError: there is none of this name, or it cannot be loaded.
        """
        return load_dataset(self.images_of, self.data)

    @property
    def info(self) -> DataInfo:
        """Image shape and number of classes of these images."""
        return self.given.info

    @cached_property
    def split(self) -> tuple[Tensor, Tensor]:
        """Images (n, c, h, w) and labels (n,) on the device: the first of each class, in order.

        They are training images, unless the data set has none.
        """
        given = self.given
        part = given.test if given.train is None else given.train
        share = max(1, _SAMPLE // given.info.classes)
        of_class = [(part.labels == label).nonzero()[:share] for label in range(given.info.classes)]
        sample = part.chosen(torch.cat(of_class).flatten().sort().values)

        return sample.images.to(self.device), sample.labels.to(self.device)

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
        return self._new_classifier()

    @property
    def keeps_classifier(self) -> bool:
        """Whether the classifier still has the weights with which it was made."""
        made = self._new_classifier()
        return digest_of(weights_of(self.classifier)) == digest_of(weights_of(made))

    def _new_classifier(self) -> nn.Module:
        return Linear(*self.split, self.info.classes).eval()

    def context(self, plugin: Configured[Any] | None = None) -> TrainingContext:
        """A training context that is cut to a few steps.

        Args:
            plugin: plugin that is trained; None for the one under test.
        """
        trained = (plugin or self.configured).trained
        uses_classifier = getattr(trained.plugin, "uses_classifier", False)

        return TrainingContext(
            title=self.description,
            data=self.info,
            split=Split.of(*self.split),
            seed="conformance",
            progress=self.progress,
            classifier=self.classifier if uses_classifier else None,
            member=lambda spec: self.fit(
                network_member(trained, spec, has_classifier=uses_classifier)
            ),
            max_steps=_STEPS,
        )

    def fit(self, plugin: Configured[Any] | None = None) -> nn.Module:
        """A newly built and briefly fitted module, under the same seed every time.

        Args:
            plugin: plugin that a parameter names; None for the one under test.
        """
        configured = plugin or self.configured
        description = f"{self.description}: {plugin.label}" if plugin else self.description
        with first_process_state(), seeded(self.device, "conformance", "fit"):
            context = self.context(configured)
            module = fitted(configured.trained.plugin, description, context, self.device)

        return configured.around(module)

    @cached_property
    def module(self) -> nn.Module:
        """The briefly fitted module that the checks share."""
        return self.fit()

    def once(self, make: Callable[[Subject], T]) -> T:
        """What a function makes of this subject, made once for all checks that look at it."""
        if make not in self._kept:
            self._kept[make] = make(self)

        result: T = self._kept[make]
        return result

    @contextmanager
    def first_use(self) -> Iterator[None]:
        """Name the images in the fault of a plugin that raises in the block: it may be for others.

        Raises:
            PluginFault: the plugin raises, or breaks its contract.
        """
        try:
            yield
        except PluginFault as fault:
            if fault.__cause__ is None:  # it took the images, and what it made of them is wrong
                raise
            shape = "x".join(map(str, self.info.shape))
            raise PluginFault(
                f"{fault} (on {shape} images of {self.images_of}; if the plugin is for others, "
                "name a data set of them with --dataset, such as digits:colors=rgb:size=32)"
            ) from fault.__cause__

    @cached_property
    def result(self) -> Tensor:
        """The output of the shared module for `images` under the seed of the first draw."""
        return self.output(self.module, self.images)

    def output(self, module: nn.Module, images: Tensor, draw: int = 0) -> Tensor:
        """The module's checked output under the seed of a draw.

        Images of a purifier, logits of a classifier and of a defense that only decides.
        """
        if self.family == "defense" and not makes_images(module):
            return self.decision(module, images, draw)

        classes = self.context().data.classes if self.family == "classifier" else None
        guarded = Guarded(self.description, module, classes)
        with seeded(self.device, "conformance", draw), torch.no_grad():
            result: Tensor = guarded(images)

        return result

    def decision(self, module: nn.Module, images: Tensor, draw: int = 0) -> Tensor:
        """The checked logits of a defense that decides by itself, under the seed of a draw."""
        classes = self.context().data.classes
        classifier = Guarded("the classifier of the check", self.classifier, classes)
        with seeded(self.device, "conformance", draw), torch.no_grad():
            return Guarded(self.description, module, None).classify(images, classifier).logits


Check = Callable[[Subject], str | None]
"""A check: its docstring describes it, and it raises `PluginFault` with the reason if it fails.

It may return a note for the author of the plugin, where nothing is wrong.
"""

Checks = Mapping[Check, Sequence[Check]]
"""Checks in their order, each with those before it without whose success it says nothing new."""
