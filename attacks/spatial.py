"""Rotations and translations: Engstrom et al., ICML 2019 (arXiv:1712.02779)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from attacks._foolbox import fb, run
from bench.contracts import Attack, NonNegativeFloat, PositiveInt
from bench.registry import register_attack


@register_attack("spatial")
@dataclass(frozen=True)
class Spatial(Attack):
    """Rotations and translations: the first of a grid that misleads (arXiv:1712.02779).

    Section 3.1 of the paper. The attack uses predicted classes only. The paper's grid has 31
    rotations and the attack takes the worst loss; foolbox's has 5 rotations, and an image that none
    misleads comes back unchanged. Pixels that move in from outside the image are black.

    The budget bounds no norm: eps is the share of the largest rotation and translation that is
    used.

    Attributes:
        max_rotation: largest rotation at eps 1, in degrees in both directions, at least 0.
        max_translation: largest translation at eps 1, in pixels in both directions of both axes, at
            least 0.
        rotations: number of grid points between the two largest rotations, at least 1.
        translations: number of grid points on each axis, at least 1.
    """

    access = "decision"
    returns_unbroken = True

    max_rotation: NonNegativeFloat = 30.0
    max_translation: NonNegativeFloat = 3.0
    rotations: PositiveInt = 5
    translations: PositiveInt = 5

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """The images rotated and translated; see `Attack.perturb`."""
        attack = fb.SpatialAttack(
            max_rotation=self.max_rotation * eps,
            max_translation=self.max_translation * eps,
            num_rotations=self.rotations,
            num_translations=self.translations,
        )
        return run(attack, model, images, labels, eps)

    def ball(self) -> None:
        """None: eps bounds no norm, but a share of the largest rotation and translation."""

    def describe(self, eps: float) -> Mapping[str, float | int | str]:
        """Largest rotation and translation at this budget, and number of grid points."""
        return {
            "max_rotation_degrees": self.max_rotation * eps,
            "max_translation_pixels": self.max_translation * eps,
            "queries": self.rotations * self.translations**2,
        }
