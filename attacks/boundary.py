"""Boundary attack: Brendel, Rauber, Bethge, ICLR 2018 (arXiv:1712.04248), algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from attacks._foolbox import fb, minimise_from_start
from bench.contracts import MinimumNorm, Norm, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("boundary")
@dataclass(frozen=True)
class Boundary(MinimumNorm):
    """Boundary attack: a random walk of adversarial images to the original, by decisions, L2
    (arXiv:1712.04248).

    Foolbox and the paper take up to 25,000 steps; the default is 5,000. It starts from noise, else
    from an image of the batch; as in foolbox one random direction serves the whole batch.

    Attributes:
        steps: steps of the walk, a query each (and one more in ten).
        spherical_step: first step around the original, as a share of the distance.
        source_step: first step towards it, as a share of the distance.
        step_adaptation: by what factor both change.
        targeted: towards the class after the true one; else away from the true one.
    """

    access = "decision"

    steps: PositiveInt = 5000
    spherical_step: PositiveFloat = 0.01
    source_step: PositiveFloat = 0.01
    step_adaptation: PositiveFloat = 1.5
    targeted: bool = False

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest adversarial image of the walk, else the image itself.

        See `MinimumNorm.minimise`.
        """
        attack = fb.BoundaryAttack(
            steps=self.steps,
            spherical_step=self.spherical_step,
            source_step=self.source_step,
            step_adaptation=self.step_adaptation,
        )
        return minimise_from_start(attack, model, images, labels, targeted=self.targeted)

    def ball(self) -> Norm:
        """L2."""
        return "l2"
