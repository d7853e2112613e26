"""Rotations and translations: Engstrom et al., ICML 2019 (arXiv:1712.02779), section 3.1."""

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
    """Rotations and translations: the first on a grid that misleads, by decisions alone
    (arXiv:1712.02779).

    The budget is no norm: eps is the share taken of both maxima. The paper's grid has 31 rotations
    and takes the worst loss; foolbox's has 5, and an image that none misleads comes back as it was.
    What moves in from outside is black.

    Attributes:
        max_rotation: degrees either way at eps 1.
        max_translation: pixels either way at eps 1, on both axes.
        rotations: points of the grid between minus and plus the rotation.
        translations: points of the grid on each axis.
    """

    access = "decision"

    max_rotation: NonNegativeFloat = 30.0
    max_translation: NonNegativeFloat = 3.0
    rotations: PositiveInt = 5
    translations: PositiveInt = 5

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """The images turned and moved; see `Attack.perturb`."""
        attack = fb.SpatialAttack(
            max_rotation=self.max_rotation * eps,
            max_translation=self.max_translation * eps,
            num_rotations=self.rotations,
            num_translations=self.translations,
        )
        return run(attack, model, images, labels, eps)

    def ball(self) -> None:
        """None: eps is a share of the maxima."""

    def describe(self, eps: float) -> Mapping[str, float | int | str]:
        """The maxima in absolute units, and the size of the grid."""
        return {
            "max_rotation_degrees": self.max_rotation * eps,
            "max_translation_pixels": self.max_translation * eps,
            "queries": self.rotations * self.translations**2,
        }
