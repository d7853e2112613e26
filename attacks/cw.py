"""Carlini and Wagner's L2 attack: IEEE S&P 2017 (arXiv:1608.04644), section VI.A."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attacks._foolbox import fb, minimise
from bench.contracts import MinimumNorm, NonNegativeFloat, Norm, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("cw")
@dataclass(frozen=True)
class CarliniWagner(MinimumNorm):
    """Carlini and Wagner's L2 attack: Adam on distance plus c times the margin, c by bisection
    (arXiv:1608.04644).

    The paper and foolbox take 10,000 steps in each bisection; the default is 1,000. Foolbox returns
    a black image where it finds nothing; here the image itself comes back.

    Attributes:
        steps: Adam's steps in each bisection; fewer once the loss stands still.
        binary_search_steps: bisections of c.
        stepsize: Adam's, in the space of arctanh(2 x - 1).
        confidence: the margin, in logits, that an image must have to count as adversarial.
        initial_const: the first c.
        targeted: towards the class after the true one; else away from the true one.
    """

    steps: PositiveInt = 1000
    binary_search_steps: PositiveInt = 9
    stepsize: PositiveFloat = 0.01
    confidence: NonNegativeFloat = 0.0
    initial_const: PositiveFloat = 1e-3
    targeted: bool = False

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest adversarial images of all bisections; see `MinimumNorm.minimise`."""
        attack = fb.L2CarliniWagnerAttack(
            steps=self.steps,
            binary_search_steps=self.binary_search_steps,
            stepsize=self.stepsize,
            confidence=self.confidence,
            initial_const=self.initial_const,
        )
        found = minimise(attack, model, images, labels, targeted=self.targeted)
        return torch.where(found.amax(dim=(1, 2, 3), keepdim=True) > 0, found, images)

    def ball(self) -> Norm:
        """L2."""
        return "l2"

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002
        """How many gradients at most."""
        return {"gradients": self.steps * self.binary_search_steps}
