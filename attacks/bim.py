"""Basic Iterative Method: Kurakin, Goodfellow, Bengio, ICLR workshop 2017 (arXiv:1607.02533)."""

from __future__ import annotations

from dataclasses import dataclass

from attacks._foolbox import BaseGradientDescent, fb
from attacks._gradient_descent import GradientDescent
from bench.contracts import PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("bim")
@dataclass(frozen=True)
class BIM(GradientDescent):
    """Basic Iterative Method: sign steps from the image itself, L-infinity (arXiv:1607.02533).

    Section 2.2 of the paper; the iterate is clipped to the ball and to [0, 1] after each step. The
    paper steps by one gray level and takes `min(255 eps + 4, 1.25 * 255 eps)` steps. The defaults
    here are foolbox's for 10 steps.

    Attributes:
        steps: number of gradient steps, at least 1.
        rel_stepsize: size of a step as a share of eps, above 0. By default it is 2 / steps, so that
            all steps together are twice the budget.
        targeted: see `attacks._gradient_descent.GradientDescent`.
        keep: see `attacks._gradient_descent.Keep`; `last` is the paper's.
        target: see `attacks._targets.Target`.
    """

    path = 2.0

    steps: PositiveInt = 10
    rel_stepsize: PositiveFloat | None = None

    def descent(self) -> BaseGradientDescent:
        """Foolbox's attack with these parameters."""
        return fb.LinfBasicIterativeAttack(steps=self.steps, rel_stepsize=self.relative_step)
