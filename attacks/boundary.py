"""Boundary attack: Brendel, Rauber, Bethge, ICLR 2018 (arXiv:1712.04248)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from attacks._foolbox import fb, minimise_from_start
from attacks._targets import Target, Targetable
from bench.contracts import MinimumNorm, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("boundary")
@dataclass(frozen=True)
class Boundary(Targetable, MinimumNorm):
    """Boundary attack: random walk of adversarial images to the original, L2 (arXiv:1712.04248).

    Algorithm 1 of the paper, which uses predicted classes only. The walk starts from noise, or else
    from another image of the batch. As in foolbox, one random direction serves the whole batch. The
    paper and foolbox take up to 25,000 steps; the default is 5,000.

    Attributes:
        steps: number of steps of the walk, at least 1. A step costs one query, every tenth step one
            more.
        spherical_step: size of the first step around the original, as a share of the distance to
            it, above 0.
        source_step: size of the first step towards the original, as a share of the distance to it,
            above 0.
        step_adaptation: factor by which both step sizes grow or shrink, above 0.
        targeted: whether the attack aims at one class, instead of any wrong class.
        target: class that a targeted attack aims at, see `attacks._targets.Target`.
    """

    access = "decision"

    steps: PositiveInt = 5000
    spherical_step: PositiveFloat = 0.01
    source_step: PositiveFloat = 0.01
    step_adaptation: PositiveFloat = 1.5
    targeted: bool = False
    target: Target = "next"

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest adversarial images of the walk, or else the images unchanged."""
        attack = fb.BoundaryAttack(
            steps=self.steps,
            spherical_step=self.spherical_step,
            source_step=self.source_step,
            step_adaptation=self.step_adaptation,
        )

        def craft(images: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
            return minimise_from_start(attack, model, images, labels, targets=targets)

        return self.aimed(model, images, labels, craft)
