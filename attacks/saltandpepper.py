"""Salt and pepper noise: foolbox's (Rauber, Brendel, Bethge 2017, arXiv:1707.04131).

No paper of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from attacks._foolbox import fb, minimise
from bench.contracts import MinimumNorm, Norm, PositiveInt
from bench.registry import register_attack


@register_attack("saltandpepper")
@dataclass(frozen=True)
class SaltAndPepper(MinimumNorm):
    """Salt and pepper noise: random pixels turned black or white, as few as mislead the decision
    (arXiv:1707.04131).

    A control: what noise alone does. The distance is L2, and a budget fades the pixels rather than
    taking fewer.

    Attributes:
        steps: noise images tried, a query each.
        across_channels: a pixel turns in all channels at once.
    """

    access = "decision"

    steps: PositiveInt = 1000
    across_channels: bool = True

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest noisy image that misleads, else the image itself.

        See `MinimumNorm.minimise`.
        """
        attack = fb.SaltAndPepperNoiseAttack(steps=self.steps, across_channels=self.across_channels)
        return minimise(attack, model, images, labels)

    def ball(self) -> Norm:
        """L2."""
        return "l2"
