"""Projected Gradient Descent: Madry et al., ICLR 2018 (arXiv:1706.06083), section 2.1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from attacks._foolbox import fb, run
from bench.contracts import Attack, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("pgd")
@dataclass(frozen=True)
class PGD(Attack):
    """Projected Gradient Descent in the L-infinity ball, PGD-40 by default (arXiv:1706.06083).

    Attributes:
        steps: gradient steps.
        rel_stepsize: size of a step as a share of eps; the default is foolbox's, Madry's 0.01 at eps 0.3.
        random_start: begin at a uniform point of the ball.
    """

    steps: PositiveInt = 40
    rel_stepsize: PositiveFloat = 0.01 / 0.3
    random_start: bool = True

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """Sign steps, projected on the ball and [0, 1] after each; see `Attack.perturb`."""
        attack = fb.LinfPGD(steps=self.steps, rel_stepsize=self.rel_stepsize, random_start=self.random_start)
        return run(attack, model, images, labels, eps)

    def describe(self, eps: float) -> Mapping[str, float | int | str]:
        """The step size in absolute units."""
        return {"step_size": self.rel_stepsize * eps, "steps": self.steps}
