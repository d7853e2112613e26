"""Jacobian-based Saliency Map Attack: Papernot et al., EuroS&P 2016 (arXiv:1511.07528)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from attacks._extras import ART_WORK, require_art
from attacks._queries import mean_logits
from attacks._targets import Target, Targetable
from bench.contracts import Norm, within
from bench.registry import register_attack

_SMALLEST = 1e-9
"""Share of changed pixels at which ART stops after the first pair."""


@register_attack("jsma")
@dataclass(frozen=True)
class JSMA(Targetable):
    """Saliency map attack: the pixels with the steepest gradient saturate, L0 (arXiv:1511.07528).

    Algorithm 3 of the paper, as in ART, changes two pixels at a time until the image reaches the
    target class. The budget is a number of pixels; an odd one leaves a pixel unused. Two things
    differ from the paper. The pair has the largest gradients of the target class's logit, where the
    paper also asks that the other classes' sum falls. An untargeted attack aims at the likeliest
    wrong class of the clean image. In a colour image, each changed channel counts as a pixel.

    The attack needs the extra `art`.

    Attributes:
        theta: change of a pixel in one step, in [-1, 1] and not 0; negative to darken pixels.
        targeted: whether the attack aims at a chosen class, instead of the likeliest wrong class.
        target: class that a targeted attack aims at, see `attacks._targets.Target`.
    """

    host_work = ART_WORK

    theta: Annotated[float, Field(ge=-1, le=1)] = 1.0
    targeted: bool = False
    target: Target = "next"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_art()
        if self.theta == 0:
            raise ValueError("parameter theta=0: must not be 0, which changes no pixel")

    def ball(self) -> Norm:
        """L0: the budget is a number of pixels."""
        return "l0"

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """The images with up to `eps` pixels changed, adversarial or not; see `Attack.perturb`."""
        from attacks._art import Estimator, art, generate

        if eps < 1:
            return images

        def craft(images: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
            if targets is None:
                logits = mean_logits(model, images)
                targets = logits.scatter(1, labels[:, None], -torch.inf).argmax(dim=1)

            attack = art.SaliencyMapMethod(
                Estimator(model, images),
                theta=self.theta,
                gamma=_share(images, eps),
                batch_size=len(images),
                verbose=False,
            )
            return within(images, generate(attack, targets), eps, "l0")

        return self.aimed(model, images, labels, craft)

    def describe(self, eps: float) -> Mapping[str, float | int | str]:
        """Number of pairs of pixels that may change."""
        return {"pairs": max(1, int(eps) // 2)}


def _share(images: Tensor, eps: float) -> float:
    """Share of changed pixels up to which ART changes another pair, so that `eps` is kept."""
    share = (int(eps) - 2) / images[0].numel()
    return min(max(share, _SMALLEST), 1.0)
