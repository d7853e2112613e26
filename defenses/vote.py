"""Vote of a randomized defense: the decisions over several draws of it, taken together.

Sources: Cohen, Rosenfeld, Kolter, ICML 2019 (arXiv:1902.02918) for the majority, DiffBreak
(NeurIPS 2025) for both rules in front of a purifier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from bench.contracts import (
    DefenseSpec,
    HasStandIns,
    PositiveInt,
    Spec,
    StandIn,
    WrappedDefense,
)
from bench.registry import register_defense
from defenses._draws import copies_of

Rule = Literal["mean", "majority"]


@register_defense("vote")
@dataclass(frozen=True)
class Vote(WrappedDefense):
    """Vote of another defense: the classifier's answers over several draws, taken together.

    Each image is purified several times, and the classifier sees every purified version. With a
    defense that draws no randomness, all versions are the same.

    Attributes:
        defense: spec of the defense that is asked, such as `[puvae:noise=0.2]`; its trained network
            is used as it is.
        draws: number of draws for each image, at least 1.
        rule: decision of the draws: `mean` takes the mean of their logits, `majority` the class
            that most of them predict, or among classes with equally many the one of the highest
            mean logit.
    """

    defense: DefenseSpec = Spec("puvae")
    draws: PositiveInt = 8
    rule: Rule = "mean"

    def wrap(self, module: nn.Module) -> nn.Module:
        """The vote around the module of the inner defense.

        Raises:
            ValueError: the inner defense decides by itself, so that it cannot be asked for images.
        """
        if hasattr(module, "classify"):
            raise ValueError(f"the defense {self.defense.name} decides by itself: it cannot vote")

        in_one_call = self.inner.independent_draws or not self.inner.stochastic
        return _Vote(module, self.draws, _RULES[self.rule], in_one_call=in_one_call)


class _Vote(nn.Module):
    """Several draws of a defense's module.

    Args:
        module: module of the inner defense.
        draws: number of draws.
        rule: function from the logits of the draws, (draws, n, classes), to logits (n, classes).
        in_one_call: whether copies of an image in one call of the module are draws of their own.
    """

    def __init__(
        self, module: nn.Module, draws: int, rule: Callable[[Tensor], Tensor], *, in_one_call: bool
    ) -> None:
        super().__init__()
        self.module = module
        self.draws = draws
        self._rule = rule
        self._in_one_call = in_one_call

    def forward(self, images: Tensor) -> Tensor:
        """The images purified by a single draw, as the inner defense alone purifies them."""
        purified: Tensor = self.module(images)
        return purified

    def classify(self, images: Tensor, classifier: Callable[[Tensor], Tensor]) -> Tensor:
        """Logits (n, classes) of all draws together.

        Args:
            images: images before purification, (n, channels, height, width).
            classifier: function from images to logits (n, classes).
        """
        batches = copies_of(images, self.draws, in_one_call=self._in_one_call)
        logits = [classifier(self.module(copies)) for copies in batches]
        return self._rule(torch.cat(logits).unflatten(0, (self.draws, len(images))))

    def stand_ins(self) -> Mapping[str, StandIn]:
        """The stand-ins of the inner defense, which approximate a single draw."""
        return self.module.stand_ins() if isinstance(self.module, HasStandIns) else {}

    @property
    def latent(self) -> Any:
        """The inner defense's, for attacks on the latent code of a generator."""
        return self.module.latent

    @property
    def generate(self) -> Any:
        """The inner defense's, for attacks on the latent code of a generator."""
        return self.module.generate


def _mean(logits: Tensor) -> Tensor:
    """The mean over draws (n, classes) of logits (draws, n, classes)."""
    return logits.mean(dim=0)


def _majority(logits: Tensor) -> Tensor:
    """The number of draws that predict a class, plus a term in (-0.5, 0] that breaks ties.

    The term grows with the mean logit, and gives the attacker a gradient where the numbers have
    none.

    Args:
        logits: logits of the draws, (draws, n, classes).

    Returns:
        logits (n, classes).
    """
    votes = one_hot(logits.argmax(dim=2), logits.shape[2]).sum(dim=0)
    mean = logits.mean(dim=0)
    behind = mean.amax(dim=1, keepdim=True) - mean
    return votes.to(mean) - 0.5 * behind / (1 + behind)


_RULES: Mapping[Rule, Callable[[Tensor], Tensor]] = {"mean": _mean, "majority": _majority}
