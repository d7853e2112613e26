"""DeepFool: Moosavi-Dezfooli, Fawzi, Frossard, CVPR 2016 (arXiv:1511.04599), algorithm 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from attacks._foolbox import fb, minimise
from bench.contracts import MinimumNorm, NonNegativeFloat, Norm, PositiveInt
from bench.registry import register_attack

_BY_NORM = {"linf": fb.LinfDeepFoolAttack, "l2": fb.L2DeepFoolAttack}


@register_attack("deepfool")
@dataclass(frozen=True)
class DeepFool(MinimumNorm):
    """DeepFool: steps to the nearest boundary of the model made linear, the smallest L2 found
    (arXiv:1511.04599).

    As in foolbox, 1e-4 is added to each step and the result is clipped to [0, 1]; it has no
    targeted variant.

    Attributes:
        steps: linearisations at most; foolbox's default, where the paper sees 2 or 3 suffice.
        candidates: the likeliest classes considered, each a gradient of its own.
        overshoot: how far past the boundary to go, as a share of the way.
        norm: the norm of the distance.
    """

    steps: PositiveInt = 50
    candidates: Annotated[int, Field(ge=2)] = 10
    overshoot: NonNegativeFloat = 0.02
    norm: Literal["linf", "l2"] = "l2"

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The last iterate, adversarial or not; see `MinimumNorm.minimise`."""
        attack = _BY_NORM[self.norm](
            steps=self.steps, candidates=self.candidates, overshoot=self.overshoot
        )
        return minimise(attack, model, images, labels)

    def ball(self) -> Norm:
        """The norm chosen."""
        return self.norm
