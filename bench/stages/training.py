"""The context a plugin's `fit` is given: batches on the device, progress, losses, the classifier, an attacker."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo
from bench.errors import PluginFault
from bench.plugins.configured import configure
from bench.progress import Reporter, Step
from bench.registry import ATTACKS
from bench.spec import Spec
from bench.stages.crafting import perturb
from bench.store.keys import derived_seed

_HISTORY_POINTS = 200
_NOTE_EVERY = 25


class TrainingContext:
    """Implements `bench.contracts.FitContext`.

    Attributes:
        data: shape and classes.
        images: all training images, on the device.
        labels: their classes.
        history: losses by name, as (step, value) pairs, at most about 200 of them.
    """

    def __init__(
        self,
        *,
        title: str,
        data: DataInfo,
        images: Tensor,
        labels: Tensor,
        seed: str,
        progress: Reporter,
        classifier: nn.Module | None = None,
        max_steps: int | None = None,
    ) -> None:
        self.data, self.images, self.labels = data, images, labels
        self.history: dict[str, list[tuple[int, float]]] = {}
        self._title, self._seed, self._progress = title, seed, progress
        self._classifier, self._max_steps = classifier, max_steps
        self._epochs_given = 0
        self._step, self._every = 0, 1
        self._latest: dict[str, Tensor] = {}

    def steps_in(self, epochs: int, batch_size: int) -> int:
        """See `FitContext.steps_in`."""
        return epochs * (len(self.labels) // min(batch_size, len(self.labels)))

    @property
    def classifier(self) -> nn.Module:
        """The frozen classifier.

        Raises:
            PluginFault: the defense did not say that it needs one.
        """
        if self._classifier is None:
            raise PluginFault(
                f"{self._title}: the classifier is only there for a defense with uses_classifier = True"
            )
        return self._classifier

    def batches(
        self, batch_size: int, *, steps: int | None = None, epochs: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `FitContext.batches`; a batch larger than the training set is cut to it."""
        if (steps is None) == (epochs is None):
            raise ValueError("batches() takes exactly one of steps and epochs")
        batch_size = min(batch_size, len(self.labels))
        total = steps if steps is not None else self.steps_in(epochs or 0, batch_size)
        order = self._orders(batch_size)
        for _ in self.steps(total):
            index = next(order)
            yield self.images[index], self.labels[index]

    def steps(self, total: int) -> Iterator[int]:
        """See `FitContext.steps`."""
        total = min(total, self._max_steps) if self._max_steps is not None else total
        self._every = max(1, total // _HISTORY_POINTS)
        with self._progress.step(self._title, total) as step:
            for self._step in range(1, total + 1):
                yield self._step
                self._record(step, last=self._step == total)

    def adversarial(
        self,
        attack: Spec,
        images: Tensor,
        labels: Tensor,
        eps: float,
        model: nn.Module | None = None,
    ) -> Tensor:
        """See `FitContext.adversarial`."""
        attacked = self.classifier if model is None else model
        modes = [
            (layer, layer.training) for layer in attacked.modules()
        ]  # a frozen layer keeps a mode of its own
        try:
            return perturb(configure(ATTACKS, attack), attacked.eval(), images, labels, eps)
        finally:
            for layer, training in modes:
                layer.training = training

    def report(self, **losses: Tensor) -> None:
        """See `FitContext.report`.

        Values are read from the device only now and then, so that it need not wait.
        """
        self._latest.update({name: loss.detach() for name, loss in losses.items()})

    def _orders(self, batch_size: int) -> Iterator[Tensor]:
        """Indices of full batches, a fresh shuffle every epoch."""
        generator = torch.Generator(device=self.images.device)
        generator.manual_seed(derived_seed(self._seed, "order", self._epochs_given))
        self._epochs_given += 1
        while True:
            shuffled = torch.randperm(
                len(self.labels), generator=generator, device=self.images.device
            )
            yield from shuffled[: len(shuffled) // batch_size * batch_size].split(batch_size)

    def _record(self, step: Step, *, last: bool) -> None:
        note = ""
        if last or self._step % self._every == 0:
            values = {name: float(loss) for name, loss in self._latest.items()}
            for name, value in values.items():
                if not math.isfinite(value):
                    raise PluginFault(
                        f"{self._title}: the loss '{name}' diverged to {value} at step {self._step}"
                    )
                self.history.setdefault(name, []).append((self._step, round(value, 6)))
            note = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        step.advance(1, note)
