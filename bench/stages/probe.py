"""The base class of probes: measurements of a model under attack on a few images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.plugins.faults import plugin_call
from bench.stages.attacked import AttackedRef
from bench.stages.context import TaskContext
from bench.stages.decisions import folded, rejects
from bench.stages.references import SplitRef
from bench.stages.seeding import seeded
from bench.stages.task import Task
from bench.store.artifacts import Meta, Tensors

_DRAWS = 8
"""Number of draws of a randomized model over which a margin is averaged."""

_TINY = 1e-30
"""A lower bound of a range of logits that is divided by."""


@dataclass(frozen=True)
class Batch:
    """Images of a probe, and the model that is measured on them.

    Attributes:
        model: map from images to logits, in evaluation mode.
        description: name of the model in messages.
        images: float32 (n, c, h, w) in [0, 1], on the model's device.
        labels: int64 (n,), the true classes.
        draw: parts from which the random numbers of a call are seeded, so that calls of a
            randomized model can be compared.
    """

    model: nn.Module
    description: str
    images: Tensor
    labels: Tensor
    draw: tuple[object, ...]

    def common_draw(self) -> AbstractContextManager[None]:
        """A context in which a call of the model draws the same random numbers every time."""
        return seeded(self.images.device, *self.draw)

    def logits(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images without a gradient, under whatever draw is set.

        Raises:
            PluginFault: the model raised an exception.
        """
        with torch.no_grad(), plugin_call(self.description):
            logits: Tensor = self.model(images)
        return logits.detach()

    def margins(self, images: Tensor) -> Tensor:
        """Margins (n,) of images under the common draw.

        Raises:
            PluginFault: the model raised an exception.
        """
        with self.common_draw():
            return self.margins_of(self.logits(images))

    def mean_margins(self, images: Tensor, draws: int) -> Tensor:
        """Margins (n,) of images, each the mean over so many draws; the draws of all calls alike.

        Raises:
            PluginFault: the model raised an exception.
        """
        total = torch.zeros(len(images), device=images.device)
        for draw in range(draws):
            with seeded(images.device, *self.draw, draw):
                total += self.margins_of(self.logits(images))
        return total / draws

    @property
    def rejects(self) -> bool:
        """Whether the last logit of the model is that of a rejection."""
        return rejects(self.model)

    def right(self, logits: Tensor) -> Tensor:
        """Whether no attack succeeded on each image, bool (n,), by its logits."""
        return folded(logits, self.labels, rejecting=self.rejects).argmax(1) == self.labels

    def margins_of(self, logits: Tensor, index: Tensor | None = None) -> Tensor:
        """Margins (m,) of logits; a rejection counts with the true class.

        Args:
            logits: logits of the first m images, or of those at the positions `index`.
            index: positions of the images, (m,).
        """
        labels = self.labels[: len(logits)] if index is None else self.labels[index]
        return margins(folded(logits, labels, rejecting=self.rejects), labels)


@dataclass(frozen=True)
class Probe(Task):
    """A task that measures a model on the first test images.

    Attributes:
        name: name of the kind of probe, part of the key.
        attacked: model that is measured.
        split: test images.
        batch_size: number of images measured at once.
        seed: seed of the random directions and draws.
    """

    kind: ClassVar[str] = "probes"
    name: ClassVar[str]
    attacked: AttackedRef
    split: SplitRef
    batch_size: int
    seed: int

    def identity(self) -> Mapping[str, Any]:
        """Kind of probe, model, images, batch size and seed, and what a subclass adds."""
        return {
            "probe": self.name,
            "attacked": self.attacked.identity,
            "data": self.split.digest,
            "batch_size": self.batch_size,
            "seed": self.seed,
            **self.settings(),
        }

    def settings(self) -> Mapping[str, Any]:
        """Settings of this kind of probe that change the result; none by default."""
        return {}

    @property
    def draws(self) -> int:
        """Number of draws over which a margin is averaged: 1 for a deterministic model."""
        return _DRAWS if self.attacked.stochastic else 1

    @property
    def draw_settings(self) -> Mapping[str, Any]:
        """The number of draws as a setting, where there are several."""
        return {"draws": self.draws} if self.draws > 1 else {}

    @abstractmethod
    def measure(self, batch: Batch, start: int, context: TaskContext) -> Mapping[str, Tensor]:
        """Measurements of a batch by name; the first axis of each is that of the images.

        Args:
            batch: images and model.
            start: index of the first image.
            context: adversarial sets.
        """

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        """Measure batch by batch.

        Raises:
            PluginFault: a network or the attack raised an exception.
        """
        images, labels = context.images(self.split)
        model = self.attacked.model(context)
        parts: dict[str, list[Tensor]] = {}

        with context.progress.step(self.title, len(labels)) as step:
            for start in range(0, len(labels), self.batch_size):
                inside = slice(start, start + self.batch_size)
                batch = Batch(
                    model,
                    self.attacked.description,
                    images[inside],
                    labels[inside],
                    ("probe", self.seed, start),
                )
                with seeded(context.device, self.key, start):
                    measured = self.measure(batch, start, context)
                for name, values in measured.items():
                    parts.setdefault(name, []).append(values)
                step.advance(len(batch.labels))

        tensors = {name: torch.cat(values).cpu().numpy() for name, values in parts.items()}
        return tensors, {"title": self.title, "identity": self.identity()}

    @property
    def title(self) -> str:
        """One line for people: kind of probe and model."""
        return f"probe {self.name} of {self.attacked.description}"


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """The largest logit of a wrong class minus that of the true class, (n,).

    Above 0 for a misclassified image. Unlike a probability or its logarithm, it does not saturate.
    """
    true = logits.gather(1, labels[:, None])
    wrong = logits.scatter(1, labels[:, None], -torch.inf)

    return wrong.amax(dim=1) - true[:, 0]


def shifts(first: Tensor, second: Tensor) -> Tensor:
    """The largest difference of two logits (n, classes), as a share of the first's range, (n,)."""
    span = (first.amax(dim=1) - first.amin(dim=1)).clamp_min(_TINY)
    return (first - second).abs().amax(dim=1) / span


def starting_points(images: Tensor, size: float) -> Tensor:
    """The images, every other one moved by uniform noise of a size, in [0, 1].

    A module that knows the test images by heart must behave in their neighborhood, too.
    """
    noise = size * torch.empty_like(images).uniform_(-1, 1)
    noise[::2] = 0

    return (images + noise).clamp(0, 1)
