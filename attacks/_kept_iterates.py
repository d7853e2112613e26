"""Gradient descents that keep another iterate of each image than the last one."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from attacks._foolbox import BaseGradientDescent, FixedEpsilonAttack, PyTorchTensor
from attacks._losses import AWAY, TOWARDS
from attacks._queries import Measured, Worst, measure, scaled


class KeptIterates(FixedEpsilonAttack):
    """Gradient descent that keeps the first or the worst iterate of each image.

    The first iterate is the first one that is misclassified, or classified as the target. An image
    leaves the batch there, which saves its other steps; one that never gets there keeps its last
    iterate. The worst iterate is that of `Worst`. The start counts as an iterate.

    The steps of an image depend on no other image, and the random starts are drawn before any image
    leaves, so the iterates are those of foolbox's run. Losses and classes come from the logits that
    the gradients are computed of. Only to judge the last iterate is the model called once more.

    Attributes:
        descent: foolbox's gradient descent.
        keep: which iterate to keep.
        count: number of calls over which each gradient and judgement is averaged.
    """

    def __init__(
        self, descent: BaseGradientDescent, keep: Literal["first", "worst"], count: int
    ) -> None:
        self.descent = descent
        self.keep = keep
        self.count = count

    @property
    def distance(self) -> Any:
        """Distance that the budget bounds: that of the gradient descent."""
        return self.descent.distance

    def run(self, model: Any, inputs: Any, criterion: Any, *, epsilon: float, **kwargs: Any) -> Any:  # noqa: ARG002 - foolbox's signature
        """The kept iterates; arguments as in foolbox's `FixedEpsilonAttack.run`."""
        descent = self.descent
        iterates: Tensor = self._start(inputs, epsilon, model.bounds).raw.clone()
        optimizer = descent.get_optimizer(inputs, descent.rel_stepsize * epsilon)
        active = torch.arange(len(iterates), device=iterates.device)
        worst = Worst(iterates)

        for _ in range(descent.steps):
            found = self._measured(model, criterion, iterates, active)
            worst.offer(iterates[active], found.loss, found.reached, active)
            steps = self._steps(optimizer, model, iterates, active, found.gradient)

            if self.keep == "first":
                active = active[found.reached < 1]
            if len(active) == 0:
                break
            moved = PyTorchTensor(iterates[active] + steps[active])
            projected = descent.project(moved, inputs[active], epsilon).clip(*model.bounds)
            iterates[active] = projected.raw

        if self.keep == "first":
            return type(inputs)(iterates)

        last = self._measured(model, criterion, iterates, active, gradient=False)
        worst.offer(iterates, last.loss, last.reached)
        return type(inputs)(worst.images)

    def _start(self, inputs: Any, epsilon: float, bounds: Any) -> Any:
        if not self.descent.random_start:
            return inputs
        return self.descent.get_random_start(inputs, epsilon).clip(*bounds)

    def _measured(
        self, model: Any, criterion: Any, iterates: Tensor, active: Tensor, gradient: bool = True
    ) -> Measured:
        """Loss, aim and gradient at the active iterates, as foolbox's criterion asks for."""
        is_targeted = hasattr(criterion, "target_classes")
        classes = (criterion.target_classes if is_targeted else criterion.labels).raw[active]
        objective = TOWARDS if is_targeted else AWAY
        return measure(model, iterates[active], classes, objective, self.count, gradient=gradient)

    def _steps(
        self, optimizer: Any, model: Any, iterates: Tensor, active: Tensor, gradient: Tensor
    ) -> Tensor:
        """The steps of all images, zero where an image has left."""
        direction: Tensor = self.descent.normalize(
            PyTorchTensor(scaled(gradient)), x=PyTorchTensor(iterates[active]), bounds=model.bounds
        ).raw

        # The optimizer may remember a momentum, which has the shape of the whole batch.
        whole = torch.zeros_like(iterates).index_copy(0, active, direction)
        steps: Tensor = optimizer(PyTorchTensor(whole)).raw
        return steps
