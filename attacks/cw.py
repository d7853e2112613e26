"""Carlini and Wagner's L2 attack: IEEE S&P 2017 (arXiv:1608.04644)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attacks._foolbox import fb, minimise
from attacks._targets import Target, Targetable
from bench.contracts import MinimumNorm, NonNegativeFloat, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("cw")
@dataclass(frozen=True)
class CarliniWagner(Targetable, MinimumNorm):
    """Carlini and Wagner's L2 attack: Adam on distance and margin (arXiv:1608.04644).

    Section VI.A of the paper: Adam minimizes the squared distance plus c times the margin, and a
    bisection finds c. The paper and foolbox take 10,000 steps in each bisection; the default is
    1,000. Where foolbox finds nothing it returns a black image; here the image comes back
    unchanged.

    Attributes:
        steps: number of Adam's steps in each bisection, at least 1. A bisection ends early once the
            loss stops falling.
        binary_search_steps: number of bisections of c, at least 1.
        stepsize: step size of Adam, in the space of arctanh(2 x - 1), above 0.
        confidence: margin in logits from which an image counts as adversarial, at least 0.
        initial_const: first value of c, above 0.
        targeted: whether the attack aims at one class, instead of any wrong class.
        target: class that a targeted attack aims at, see `attacks._targets.Target`.
    """

    steps: PositiveInt = 1000
    binary_search_steps: PositiveInt = 9
    stepsize: PositiveFloat = 0.01
    confidence: NonNegativeFloat = 0.0
    initial_const: PositiveFloat = 1e-3
    targeted: bool = False
    target: Target = "next"

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest adversarial images of all bisections, or else the images unchanged."""
        attack = fb.L2CarliniWagnerAttack(
            steps=self.steps,
            binary_search_steps=self.binary_search_steps,
            stepsize=self.stepsize,
            confidence=self.confidence,
            initial_const=self.initial_const,
        )

        def craft(images: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
            adversarial = minimise(attack, model, images, labels, targets=targets)
            is_black = adversarial.amax(dim=(1, 2, 3), keepdim=True) <= 0
            return torch.where(is_black, images, adversarial)

        return self.aimed(model, images, labels, craft)

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002 - same at every budget
        """Largest number of gradients for an image."""
        return {"gradients": self.steps * self.binary_search_steps}
