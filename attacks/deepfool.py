"""DeepFool: Moosavi-Dezfooli, Fawzi, Frossard, CVPR 2016 (arXiv:1511.04599)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from attacks._foolbox import fb, minimise
from bench.contracts import MinimumNorm, NonNegativeFloat, PositiveInt
from bench.registry import register_attack

_BY_NORM = {"linf": fb.LinfDeepFoolAttack, "l2": fb.L2DeepFoolAttack}


@register_attack("deepfool")
@dataclass(frozen=True)
class DeepFool(MinimumNorm):
    """DeepFool: steps to the nearest boundary of the linearized model (arXiv:1511.04599).

    Algorithm 2 of the paper. As in foolbox, 1e-4 is added to each step and the result is clipped to
    [0, 1]. There is no targeted variant.

    Attributes:
        steps: largest number of linearizations, at least 1. The default is foolbox's; the paper
            finds that 2 or 3 suffice.
        candidates: number of likeliest classes that are considered, at least 2. Each costs one
            gradient.
        overshoot: distance to go past the boundary, as a share of the distance to it, at least 0.
        norm: norm of the minimized distance: `l2` or `linf`.
    """

    returns_unbroken = False

    steps: PositiveInt = 50
    candidates: Annotated[int, Field(ge=2)] = 10
    overshoot: NonNegativeFloat = 0.02
    norm: Literal["linf", "l2"] = "l2"

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The last iterates, whether they are adversarial or not."""
        attack = _BY_NORM[self.norm](
            steps=self.steps, candidates=self.candidates, overshoot=self.overshoot
        )
        return minimise(attack, model, images, labels)
