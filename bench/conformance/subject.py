"""A plugin under test, with the small data and the small models that the checks use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.plugins.configured import Configured
from bench.progress import Silent
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES, Registry
from bench.stages.datasets import load_dataset
from bench.stages.guard import Guarded
from bench.stages.seeding import seeded
from bench.stages.train import fitted
from bench.stages.training import TrainingContext

CPU = torch.device("cpu")
REGISTRIES: Mapping[str, Registry[Any]] = {
    "defense": DEFENSES,
    "attack": ATTACKS,
    "classifier": CLASSIFIERS,
}

_STEPS = 2
_IMAGES = 3


class Linear(nn.Module):
    """A differentiable classifier that needs no training: it knows the mean image of each class."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        super().__init__()
        means = torch.stack(
            [images[labels == label].mean(dim=0).flatten() for label in labels.unique()]
        )
        self.weight = nn.Parameter(means, requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """Minus half the squared distance to each class's mean, up to what is common to all classes."""
        return images.flatten(1) @ self.weight.T - 0.5 * (self.weight**2).sum(dim=1)


@dataclass(frozen=True, eq=False)
class Subject:
    """A plugin under test, with what the checks need."""

    family: str
    configured: Configured[Any]

    @cached_property
    def split(self) -> tuple[Tensor, Tensor]:
        """The digits' training images and labels."""
        train = load_dataset("digits", Path()).train
        return train.images, train.labels

    @cached_property
    def images(self) -> Tensor:
        """A few images."""
        return self.split[0][:_IMAGES]

    @cached_property
    def labels(self) -> Tensor:
        """Their classes."""
        return self.split[1][:_IMAGES]

    @cached_property
    def classifier(self) -> nn.Module:
        """A frozen classifier to train against and to attack."""
        return Linear(*self.split).eval()

    def context(self) -> TrainingContext:
        """A training context cut to a few steps."""
        return TrainingContext(
            title=self.who,
            data=load_dataset("digits", Path()).info,
            images=self.split[0],
            labels=self.split[1],
            seed="conformance",
            progress=Silent(),
            classifier=self.classifier
            if getattr(self.configured.plugin, "uses_classifier", False)
            else None,
            max_steps=_STEPS,
        )

    @property
    def who(self) -> str:
        """The plugin in messages."""
        return f"{self.family} {self.configured.label}"

    def fit(self) -> nn.Module:
        """A freshly built and briefly fitted module, the same every time."""
        with seeded(CPU, "conformance", "fit"):
            return fitted(self.configured.plugin, self.who, self.context(), CPU)

    @cached_property
    def module(self) -> nn.Module:
        """The fitted module."""
        return self.fit()

    def output(self, module: nn.Module, images: Tensor, draw: int = 0) -> Tensor:
        """The module's checked output under a fixed seed."""
        classes = self.context().data.classes if self.family == "classifier" else None
        with seeded(CPU, "conformance", draw), torch.no_grad():
            result: Tensor = Guarded(self.who, module, classes)(images)
        return result


Check = Callable[[Subject], None]
