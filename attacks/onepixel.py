"""One-pixel attack: Su, Vargas, Sakurai, IEEE TEVC 2019 (arXiv:1710.08864)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attacks._extras import ART_WORK, require_art
from attacks._targets import Target, Targetable
from bench.contracts import Norm, PositiveInt, within
from bench.registry import register_attack

_POPULATION = 400
"""Number of candidates of a generation, as in the paper."""

_ROUNDING = 1e-5
"""Difference that comes of ART's way from [0, 1] to gray levels and back."""


@register_attack("onepixel")
@dataclass(frozen=True)
class OnePixel(Targetable):
    """One-pixel attack: differential evolution of a few pixels' places and values, L0.

    Section III.B of the paper (arXiv:1710.08864), as in ART: 400 candidates of places and gray
    levels evolve towards a low probability of the true class, and the search ends once the best one
    misleads. The budget is the number of pixels; the paper changes 1, 3 or 5. The attack uses
    probabilities without a gradient. An image for which it finds nothing comes back unchanged. The
    paper's variant without a target starts from Gaussian values; ART's start is uniform.

    The attack needs the extra `art`.

    Attributes:
        steps: largest number of generations, at least 1; each costs 400 queries, and more where
            the budget is above 133 gray pixels.
        targeted: whether the attack aims at a class, instead of any wrong class.
        target: class that a targeted attack aims at, see `attacks._targets.Target`.
    """

    access = "score"
    host_work = ART_WORK
    returns_unbroken = True

    steps: PositiveInt = 100
    targeted: bool = False
    target: Target = "next"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_art()

    def ball(self) -> Norm:
        """L0: the budget is a number of pixels."""
        return "l0"

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """The images with up to `eps` pixels changed, or else unchanged; see `Attack.perturb`."""
        from attacks._art import Estimator, PixelAttack, generate

        if eps < 1:
            return images

        def craft(images: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
            attack = PixelAttack(
                Estimator(model, images, probabilities=True),
                th=int(eps),
                es=1,  # differential evolution
                max_iter=self.steps,
                targeted=targets is not None,
                verbose=False,
            )
            found = generate(attack, labels if targets is None else targets)
            is_changed = (found - images).abs() > _ROUNDING
            return within(images, torch.where(is_changed, found, images), eps, "l0")

        return self.aimed(model, images, labels, craft)

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002 - same at every budget
        """Largest number of queries for an image, up to 133 gray pixels."""
        return {"queries": _POPULATION * (self.steps + 1)}
