"""Fast Minimum-Norm attack: Pintor et al., NeurIPS 2021 (arXiv:2102.12827)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from attacks._foolbox import fb, minimise, per_image
from attacks._targets import Target, Targetable
from bench.contracts import Fraction, MinimumNorm, Norm, PositiveFloat, PositiveInt
from bench.registry import register_attack

_MARGIN = 1.01
"""Radius of the ball that iterates are projected on, as a multiple of the estimated distance."""


@register_attack("fmn")
@dataclass(frozen=True)
class FMN(Targetable, MinimumNorm):
    """Fast Minimum-Norm attack: gradient steps in an adaptive ball (arXiv:2102.12827).

    Algorithm 1 of the paper: the radius follows the estimated distance to the decision boundary.
    Two things differ from foolbox 3.3.4. Foolbox never projects on the L2 ball, because it divides
    a norm by itself; here iterates are projected. The ball is 1 % wider than the estimate, because
    the estimate approaches a curved boundary from below and left one digit in six without an
    adversarial image.

    Attributes:
        steps: number of gradient steps, at least 1.
        max_stepsize: length of the first step, in L2 for every norm, above 0. The last step is a
            hundredth of the first.
        gamma: share by which the radius grows or shrinks in the first step, in [0, 1]; it falls to
            0.001 in the last step.
        norm: norm of the minimized distance: `l2`, `linf` or `l1`.
        targeted: whether the attack aims at one class, instead of any wrong class.
        target: class that a targeted attack aims at, see `attacks._targets.Target`.
    """

    steps: PositiveInt = 100
    max_stepsize: PositiveFloat = 1.0
    gamma: Fraction = 0.05
    norm: Literal["linf", "l2", "l1"] = "l2"
    targeted: bool = False
    target: Target = "next"

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest adversarial iterates, or else the images unchanged."""
        attack = _BY_NORM[self.norm](
            steps=self.steps, max_stepsize=self.max_stepsize, gamma=self.gamma
        )

        def craft(images: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
            return minimise(attack, model, images, labels, targets=targets)

        return self.aimed(model, images, labels, craft)


class _L2(fb.L2FMNAttack):
    def project(self, x: Any, x0: Any, epsilon: Any) -> Any:
        delta = x - x0
        norms = delta.flatten(start=1).norms.l2(axis=-1).maximum(1e-12)
        share = (_MARGIN * epsilon / norms).minimum(1)
        return x0 + delta * per_image(share, delta)


class _L1(fb.L1FMNAttack):
    def project(self, x: Any, x0: Any, epsilon: Any) -> Any:
        return super().project(x, x0, _MARGIN * epsilon)


class _Linf(fb.LInfFMNAttack):
    def project(self, x: Any, x0: Any, epsilon: Any) -> Any:
        return super().project(x, x0, _MARGIN * epsilon)


_BY_NORM: Mapping[Norm, Callable[..., fb.Attack]] = {"linf": _Linf, "l2": _L2, "l1": _L1}
