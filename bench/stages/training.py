"""The context that a plugin's `fit` is given: batches, progress, losses, classifier and attacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo
from bench.errors import PluginFault
from bench.plugins.configured import configure
from bench.progress import Reporter, Step
from bench.registry import ATTACKS
from bench.spec import Spec
from bench.stages.crafting import perturb
from bench.stages.pixels import Split
from bench.store.keys import derived_seed

_HISTORY_POINTS = 200
"""Number of points up to about which the history of a loss is kept."""


class TrainingContext:
    """The harness's implementation of `bench.contracts.FitContext`.

    Args:
        title: title of the training in progress and messages.
        data: image shape and number of classes.
        split: training images with their labels, which are on the device.
        seed: content key that the order of the images is derived from.
        progress: reporter that shows the steps.
        classifier: trained classifier, for a defense with `uses_classifier`; else None.
        member: function that gives the trained module of a plugin that a parameter names; None
            where no parameter does.
        max_steps: number of steps at which a training is cut; None for no limit.

    Attributes:
        data: image shape and number of classes.
        split: training images with their labels.
        history: losses by name, as (step, value) pairs, at most about 200 of each.
    """

    def __init__(
        self,
        *,
        title: str,
        data: DataInfo,
        split: Split,
        seed: str,
        progress: Reporter,
        classifier: nn.Module | None = None,
        member: Callable[[Spec], nn.Module] | None = None,
        max_steps: int | None = None,
    ) -> None:
        self.data = data
        self.split = split
        self.history: dict[str, list[tuple[int, float]]] = {}
        self._title = title
        self._seed = seed
        self._progress = progress
        self._classifier = classifier
        self._member = member
        self._max_steps = max_steps
        self._orders_given = 0
        self._step = 0
        self._record_every = 1
        self._latest: dict[str, Tensor] = {}

    def steps_in(self, epochs: int, batch_size: int) -> int:
        """See `FitContext.steps_in`."""
        images = len(self.split)
        return epochs * (images // min(batch_size, images)) if images else 0

    @property
    def classifier(self) -> nn.Module:
        """The frozen classifier.

        Raises:
            PluginFault: the plugin is not a defense with `uses_classifier`.
        """
        if self._classifier is None:
            raise PluginFault(
                f"{self._title}: fit() may use the classifier only in a defense "
                "that sets uses_classifier = True"
            )

        return self._classifier

    def batches(
        self, batch_size: int, *, steps: int | None = None, epochs: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `FitContext.batches`. A batch size above the number of images is reduced to it."""
        if (steps is None) == (epochs is None):
            raise ValueError("batches() takes exactly one of steps and epochs")

        if not len(self.split):
            raise PluginFault(
                f"{self._title}: the data set has no training images, and this network is trained"
            )
        batch_size = min(batch_size, len(self.split))
        total = steps if steps is not None else self.steps_in(epochs or 0, batch_size)
        indices = self._batch_indices(batch_size)

        for _ in self.steps(total):
            index = next(indices)
            yield self.split.pixels.at(index), self.split.labels[index]

    def steps(self, total: int) -> Iterator[int]:
        """See `FitContext.steps`."""
        total = min(total, self._max_steps) if self._max_steps is not None else total
        self._record_every = max(1, total // _HISTORY_POINTS)

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
        # The mode of every layer is restored, because a frozen layer has a mode of its own.
        modes = [(layer, layer.training) for layer in attacked.modules()]

        try:
            return perturb(configure(ATTACKS, attack), attacked.eval(), images, labels, eps)
        finally:
            for layer, training in modes:
                layer.training = training

    def build(self, spec: Spec) -> nn.Module:
        """See `FitContext.build`.

        Raises:
            PluginFault: no parameter names such a plugin, or its training fails.
        """
        if self._member is None:
            raise PluginFault(f"{self._title}: no parameter names a defense or classifier to build")
        return self._member(spec)

    def report(self, **losses: Tensor) -> None:
        """See `FitContext.report`."""
        # Values are read from the device only now and then, so that the host need not wait.
        self._latest.update({name: loss.detach() for name, loss in losses.items()})

    def _batch_indices(self, batch_size: int) -> Iterator[Tensor]:
        """Image indices (batch_size,) of full batches without end, shuffled anew in every epoch."""
        device = self.split.labels.device
        generator = torch.Generator(device=device)
        generator.manual_seed(derived_seed(self._seed, "order", self._orders_given))
        self._orders_given += 1

        while True:
            shuffled = torch.randperm(len(self.split), generator=generator, device=device)
            yield from shuffled[: len(shuffled) // batch_size * batch_size].split(batch_size)

    def _record(self, step: Step, *, last: bool) -> None:
        """Count a step as done, and now and then keep and show its losses.

        Raises:
            PluginFault: a loss is NaN or infinite.
        """
        if not last and self._step % self._record_every != 0:
            step.advance(1)
            return

        losses = {name: float(loss) for name, loss in self._latest.items()}
        for name, value in losses.items():
            if not math.isfinite(value):
                raise PluginFault(
                    f"{self._title}: the loss '{name}' diverged to {value} at step {self._step}"
                )
            self.history.setdefault(name, []).append((self._step, round(value, 6)))

        step.advance(1, " ".join(f"{name} {value:.4g}" for name, value in losses.items()))
