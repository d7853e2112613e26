"""Salt and pepper noise, as in foolbox: Rauber, Brendel, Bethge 2017 (arXiv:1707.04131)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from attacks._foolbox import fb, minimise
from bench.contracts import MinimumNorm, PositiveInt
from bench.registry import register_attack


@register_attack("saltandpepper")
@dataclass(frozen=True)
class SaltAndPepper(MinimumNorm):
    """Salt and pepper noise: the fewest black and white pixels found (a control).

    The attack is foolbox's (arXiv:1707.04131), has no paper of its own, and shows what noise alone
    does. It uses predicted classes only. The minimized distance is L2: a smaller budget fades the
    changed pixels instead of changing fewer of them.

    Attributes:
        steps: number of noise images tried, at least 1; each costs one query.
        across_channels: whether a pixel changes in all channels at once.
    """

    access = "decision"

    steps: PositiveInt = 1000
    across_channels: bool = True

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest noisy images that mislead, or else the images unchanged."""
        attack = fb.SaltAndPepperNoiseAttack(steps=self.steps, across_channels=self.across_channels)
        return minimise(attack, model, images, labels)
