"""Projected Gradient Descent: Madry et al., ICLR 2018 (arXiv:1706.06083)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from attacks._foolbox import BaseGradientDescent, fb
from attacks._gradient_descent import GradientDescent
from bench.contracts import Norm, PositiveFloat, PositiveInt
from bench.registry import register_attack

_BY_NORM: Mapping[Norm, Callable[..., BaseGradientDescent]] = {
    "linf": fb.LinfPGD,
    "l2": fb.L2PGD,
    "l1": fb.L1PGD,
}


@register_attack("pgd")
@dataclass(frozen=True)
class PGD(GradientDescent):
    """Projected Gradient Descent: 40 steps in the L-infinity ball by default (arXiv:1706.06083).

    Section 2.1 of the paper; the iterate is projected on the ball and on [0, 1] after each step. A
    step follows the sign of the gradient in L-infinity, and the gradient at unit length in L2 and
    L1.

    In L1 that is not the steepest ascent, and foolbox shortens the perturbation instead of
    projecting it. The result is a weak attack: prefer `fmn:norm=l1`.

    Attributes:
        steps: number of gradient steps, at least 1.
        rel_stepsize: size of a step as a share of eps, above 0. By default it follows the number of
            steps, so that all steps together are 4/3 of the budget. At 40 steps that is Madry's
            0.01 at eps 0.3, and foolbox's for L-infinity; in L2 and L1 foolbox takes 50 steps of
            0.025.
        random_start: whether the attack starts at a uniformly random point of the ball, instead of
            the image itself.
        norm: norm that eps bounds: `linf`, `l2` or `l1`.
        targeted: see `attacks._gradient_descent.GradientDescent`.
        keep: see `attacks._gradient_descent.Keep`; `last` is the paper's and foolbox's.
        target: see `attacks._targets.Target`.
    """

    path = 0.01 / 0.3 * 40

    steps: PositiveInt = 40
    rel_stepsize: PositiveFloat | None = None
    random_start: bool = True
    norm: Literal["linf", "l2", "l1"] = "linf"

    def descent(self) -> BaseGradientDescent:
        """Foolbox's attack with these parameters."""
        return _BY_NORM[self.norm](
            steps=self.steps, rel_stepsize=self.relative_step, random_start=self.random_start
        )
