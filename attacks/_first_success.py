"""Early stopping of gradient descents: an image leaves the batch once it is misclassified."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from attacks._foolbox import BaseGradientDescent, FixedEpsilonAttack, PyTorchTensor, finite


class FirstSuccess(FixedEpsilonAttack):
    """Untargeted gradient descent that keeps the first misclassified iterate of each image.

    The start counts as an iterate. An image that is never misclassified keeps its last iterate.

    The steps of an image depend on no other image, and the random starts are drawn before any image
    leaves, so the iterates are those of the whole batch. The predicted classes come from the logits
    that the gradients are computed of, without further calls of the model. The last iterate is kept
    in any case and therefore not classified.
    """

    def __init__(self, descent: BaseGradientDescent) -> None:
        self.descent = descent

    @property
    def distance(self) -> Any:
        """Distance that the budget bounds: that of the gradient descent."""
        return self.descent.distance

    def run(self, model: Any, inputs: Any, criterion: Any, *, epsilon: float, **kwargs: Any) -> Any:  # noqa: ARG002 - foolbox's signature
        """The kept iterates; arguments as in foolbox's `FixedEpsilonAttack.run`."""
        descent = self.descent
        labels: Tensor = criterion.labels.raw
        kept: Tensor = self._start(inputs, epsilon, model.bounds).raw.clone()
        optimizer = descent.get_optimizer(inputs, descent.rel_stepsize * epsilon)
        active = torch.arange(len(kept), device=kept.device)

        for _ in range(descent.steps):
            points = kept[active].requires_grad_(True)
            logits = model(points)
            direction = self._direction(logits, labels[active], points, model.bounds)

            # The optimizer may remember a momentum, which has the shape of the whole batch.
            whole = torch.zeros_like(kept).index_copy(0, active, direction)
            steps: Tensor = optimizer(PyTorchTensor(whole)).raw

            active = active[logits.argmax(1) == labels[active]]
            if len(active) == 0:
                break
            moved = PyTorchTensor(kept[active] + steps[active])
            kept[active] = descent.project(moved, inputs[active], epsilon).clip(*model.bounds).raw

        return type(inputs)(kept)

    def _start(self, inputs: Any, epsilon: float, bounds: Any) -> Any:
        if not self.descent.random_start:
            return inputs
        return self.descent.get_random_start(inputs, epsilon).clip(*bounds)

    def _direction(self, logits: Tensor, labels: Tensor, points: Tensor, bounds: Any) -> Tensor:
        """The direction of the descent's steps at the points, same shape."""
        loss = cross_entropy(logits, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, points)
        direction: Tensor = self.descent.normalize(
            PyTorchTensor(finite(gradient)), x=PyTorchTensor(points), bounds=bounds
        ).raw
        return direction
