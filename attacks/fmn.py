"""Fast Minimum-Norm attack: Pintor et al., NeurIPS 2021 (arXiv:2102.12827), algorithm 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from attacks._foolbox import fb, minimise
from bench.contracts import Fraction, MinimumNorm, Norm, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("fmn")
@dataclass(frozen=True)
class FMN(MinimumNorm):
    """Fast Minimum-Norm attack: gradient steps in a ball that follows the boundary; L2, L-inf, L1
    (arXiv:2102.12827).

    Foolbox 3.3.4 never projects on the L2 ball (it divides a norm by itself); here it does. And the
    ball is 1 % wider than the estimate, which nears a curved boundary from below and left one digit
    in six without an adversarial image.

    Attributes:
        steps: gradient steps.
        max_stepsize: length of the first step, in L2 for every norm; the last is a hundredth of it.
        gamma: by what share the radius first grows or shrinks in a step; 0.001 at last.
        norm: the norm of the distance.
        targeted: towards the class after the true one; else away from the true one.
    """

    steps: PositiveInt = 100
    max_stepsize: PositiveFloat = 1.0
    gamma: Fraction = 0.05
    norm: Norm = "l2"
    targeted: bool = False

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest adversarial iterate, else the image itself; see `MinimumNorm.minimise`."""
        attack = _BY_NORM[self.norm](
            steps=self.steps, max_stepsize=self.max_stepsize, gamma=self.gamma
        )
        return minimise(attack, model, images, labels, targeted=self.targeted)

    def ball(self) -> Norm:
        """The norm chosen."""
        return self.norm


class _L2(fb.L2FMNAttack):
    def project(self, x: Any, x0: Any, epsilon: Any) -> Any:
        delta = x - x0
        share = (
            _WIDER * epsilon / delta.flatten(start=1).norms.l2(axis=-1).maximum(1e-12)
        ).minimum(1)
        return x0 + delta * share.reshape((-1, *[1] * (delta.ndim - 1)))


class _L1(fb.L1FMNAttack):
    def project(self, x: Any, x0: Any, epsilon: Any) -> Any:
        return super().project(x, x0, _WIDER * epsilon)


class _Linf(fb.LInfFMNAttack):
    def project(self, x: Any, x0: Any, epsilon: Any) -> Any:
        return super().project(x, x0, _WIDER * epsilon)


_WIDER = 1.01
_BY_NORM: Mapping[Norm, Callable[..., fb.Attack]] = {"linf": _Linf, "l2": _L2, "l1": _L1}
