"""Momentum Iterative FGSM: Dong et al., CVPR 2018 (arXiv:1710.06081)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from attacks._foolbox import BaseGradientDescent, fb, per_image
from attacks._gradient_descent import GradientDescent
from bench.contracts import NonNegativeFloat, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("mifgsm")
@dataclass(frozen=True)
class MIFGSM(GradientDescent):
    """Momentum Iterative FGSM: sign steps along accumulated gradients (arXiv:1710.06081).

    Algorithm 1 of the paper. Its images transfer better to other models than those of BIM. Foolbox
    accumulates the signs of the gradients and steps by 0.2 eps. Here, as in the paper, each
    gradient is divided by its L1 norm before it is accumulated (equation 6), and the step size is
    eps / steps.

    Attributes:
        steps: number of gradient steps, at least 1.
        rel_stepsize: size of a step as a share of eps, above 0; 1 / steps by default, as in the
            paper.
        momentum: factor of the accumulated gradient before the next one is added, at least 0; mu in
            the paper.
        targeted: see `attacks._gradient_descent.GradientDescent`.
        keep: see `attacks._gradient_descent.Keep`; `last` is the paper's.
        target: see `attacks._targets.Target`.
    """

    path = 1.0

    steps: PositiveInt = 10
    rel_stepsize: PositiveFloat | None = None
    momentum: NonNegativeFloat = 1.0

    def descent(self) -> BaseGradientDescent:
        """Foolbox's attack with these parameters and the paper's normalization."""
        return _L1Normalized(
            momentum=self.momentum, steps=self.steps, rel_stepsize=self.relative_step
        )


class _L1Normalized(fb.LinfMomentumIterativeFastGradientMethod):
    def normalize(self, gradients: Any, *, x: Any, bounds: Any) -> Any:  # noqa: ARG002 - foolbox's signature
        norms = gradients.flatten(start=1).norms.l1(axis=-1).maximum(1e-12)
        return gradients / per_image(norms, gradients)
