"""Box-constrained L-BFGS attack: Szegedy et al., ICLR 2014 (arXiv:1312.6199)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn.functional import softplus

from attacks._losses import TOWARDS, is_wrong
from attacks._queries import Objective, draws, measure, where
from attacks._targets import Target, Targetable
from bench.contracts import MinimumNorm, PositiveFloat, PositiveInt
from bench.registry import register_attack

_GROWTH = 10.0
"""Factor by which c grows while no adversarial image is known."""


@register_attack("lbfgs")
@dataclass(frozen=True)
class LBFGS(Targetable, MinimumNorm):
    """Box-constrained L-BFGS: squared distance plus c times the loss, L2 (arXiv:1312.6199).

    Section 4.1 of the paper: L-BFGS-B minimizes both terms within [0, 1], and a line search finds
    the smallest c at which the image is adversarial: c grows by a factor of 10 until it is, then it
    is bisected. The paper always aims at a class. Without a target, the loss here is the negative
    logarithm of the probability of all wrong classes together, which for two classes is the paper's
    loss. The distance is squared, as in later work. All images of a batch are minimized at once;
    their terms have no variables in common.

    Attributes:
        steps: number of L-BFGS iterations for each c, at least 1. They end early once the loss
            stops falling.
        binary_search_steps: number of values of c, at least 1.
        initial_const: first value of c, above 0.
        targeted: whether the attack aims at a class, instead of any wrong class.
        target: class that a targeted attack aims at, see `attacks._targets.Target`.
    """

    host_work = "L-BFGS-B is that of SciPy"

    steps: PositiveInt = 100
    binary_search_steps: PositiveInt = 12
    initial_const: PositiveFloat = 0.1
    targeted: bool = False
    target: Target = "next"

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest adversarial images of all values of c, or else the images unchanged."""

        def craft(images: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
            if targets is None:
                return self._nearest(_Problem(model, images, labels, _AWAY))
            return self._nearest(_Problem(model, images, targets, TOWARDS))

        return self.aimed(model, images, labels, craft)

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002 - same at every budget
        """Largest number of iterations for an image; an iteration takes one gradient or more."""
        return {"iterations": self.steps * self.binary_search_steps}

    def _nearest(self, problem: _Problem) -> Tensor:
        """The nearest images of the line search that reach the aim, or else the originals."""
        nearest = problem.images
        smallest = torch.where(problem.reached(nearest), 0.0, torch.inf)
        low = torch.zeros_like(smallest)
        high = torch.full_like(smallest, torch.inf)
        c = torch.full_like(smallest, self.initial_const)

        for _ in range(self.binary_search_steps):
            found = problem.minimum(c, self.steps)
            reached = problem.reached(found)
            distance = (found - problem.images).flatten(1).norm(dim=1)

            is_nearer = reached & (distance < smallest)
            nearest = where(is_nearer, found, nearest)
            smallest = torch.where(is_nearer, distance, smallest)

            low, high = torch.where(reached, low, c), torch.where(reached, c, high)
            c = torch.where(torch.isinf(high), _GROWTH * c, (low + high) / 2)

        return nearest


@dataclass(frozen=True)
class _Problem:
    """The optimization problem of a batch.

    Attributes:
        model: attacked model.
        images: original images (n, c, h, w).
        classes: classes (n,) that the objective is a function of.
        objective: what is maximized, times c, beside the negative squared distance.
    """

    model: nn.Module
    images: Tensor
    classes: Tensor
    objective: Objective

    def minimum(self, c: Tensor, steps: int) -> Tensor:
        """The images at which L-BFGS-B ends, in [0, 1].

        Args:
            c: weight of the loss of each image, (n,).
            steps: largest number of iterations.
        """
        start = self.images.double().cpu().numpy().ravel()
        result = minimize(
            lambda point: self._value_and_gradient(point, c),
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=np.broadcast_to((0.0, 1.0), (start.size, 2)),
            # The limit of evaluations would end a large batch early.
            options={"maxiter": steps, "maxfun": np.iinfo(np.int32).max},
        )
        return self._images(result.x)

    def reached(self, images: Tensor) -> Tensor:
        """Whether every draw of the model gives each image the wanted class, (n,) bool."""
        return self._measured(images, gradient=False)[2] >= 1

    def _value_and_gradient(self, point: np.ndarray, c: Tensor) -> tuple[float, np.ndarray]:
        images = self._images(point)
        gradient, loss, _ = self._measured(images, gradient=True)
        delta = images - self.images

        values = delta.double().flatten(1).square().sum(dim=1) - c * loss
        slope = 2 * delta - c.view(-1, 1, 1, 1) * gradient
        return float(values.sum()), slope.double().cpu().numpy().ravel()

    def _measured(self, images: Tensor, *, gradient: bool) -> tuple[Tensor, Tensor, Tensor]:
        count = draws(self.model)
        return measure(self.model, images, self.classes, self.objective, count, gradient=gradient)

    def _images(self, point: np.ndarray) -> Tensor:
        return torch.from_numpy(point).to(self.images).view_as(self.images)


def _log_probability_of_others(logits: Tensor, labels: Tensor) -> Tensor:
    """Logarithm of the probability of all classes but the given ones, (n,)."""
    true = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], -torch.inf).logsumexp(dim=1)
    return -softplus(true - others)


_AWAY = Objective(_log_probability_of_others, is_wrong)
