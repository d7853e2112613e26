"""Decoupled Direction and Norm: Rony et al., CVPR 2019 (arXiv:1811.09600), algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from attacks._foolbox import fb, minimise
from bench.contracts import Fraction, MinimumNorm, Norm, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("ddn")
@dataclass(frozen=True)
class DDN(MinimumNorm):
    """Decoupled Direction and Norm: gradient steps on a sphere that shrinks while it works, L2
    (arXiv:1811.09600).

    The paper rounds images to 256 grey levels after each step and reports up to 1,000 steps;
    foolbox does not round. A vanished gradient is replaced by a random direction. A step is 1.0 at
    first and 0.01 at last, in L2.

    Attributes:
        steps: gradient steps.
        init_epsilon: the first radius.
        gamma: by what share the radius grows or shrinks in a step.
        targeted: towards the class after the true one; else away from the true one.
    """

    steps: PositiveInt = 100
    init_epsilon: PositiveFloat = 1.0
    gamma: Fraction = 0.05
    targeted: bool = False

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest adversarial iterate, else the image itself; see `MinimumNorm.minimise`."""
        attack = fb.DDNAttack(steps=self.steps, init_epsilon=self.init_epsilon, gamma=self.gamma)
        return minimise(attack, model, images, labels, targeted=self.targeted)

    def ball(self) -> Norm:
        """L2."""
        return "l2"
