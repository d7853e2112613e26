"""Decoupled Direction and Norm: Rony et al., CVPR 2019 (arXiv:1811.09600)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from attacks._foolbox import fb, minimise
from attacks._targets import Target, Targetable
from bench.contracts import Fraction, MinimumNorm, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("ddn")
@dataclass(frozen=True)
class DDN(Targetable, MinimumNorm):
    """Decoupled Direction and Norm: gradient steps on a shrinking sphere, L2 (arXiv:1811.09600).

    Algorithm 1 of the paper: the radius shrinks while the image is adversarial, and grows while it
    is not. A step has length 1.0 at first and 0.01 in the end, in L2. A random direction replaces a
    gradient of zero. The paper rounds images to 256 gray levels after each step and reports up to
    1,000 steps; foolbox does not round.

    Attributes:
        steps: number of gradient steps, at least 1.
        init_epsilon: first radius in L2, above 0.
        gamma: share by which the radius grows or shrinks in a step, in [0, 1].
        targeted: whether the attack aims at one class, instead of any wrong class.
        target: class that a targeted attack aims at, see `attacks._targets.Target`.
    """

    steps: PositiveInt = 100
    init_epsilon: PositiveFloat = 1.0
    gamma: Fraction = 0.05
    targeted: bool = False
    target: Target = "next"

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest adversarial iterates, or else the images unchanged."""
        attack = fb.DDNAttack(steps=self.steps, init_epsilon=self.init_epsilon, gamma=self.gamma)

        def craft(images: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
            return minimise(attack, model, images, labels, targets=targets, directions_only=True)

        return self.aimed(model, images, labels, craft)
