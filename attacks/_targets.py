"""Targeted attacks: the choice of the class that an attack aims at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from attacks._losses import is_target
from attacks._queries import Worst, draws, mean_logits
from bench.contracts import Attack, MinimumNorm, OmittedAt, distances

Target = Annotated[Literal["next", "random", "leastlikely", "each"], OmittedAt("next")]
"""Class that a targeted attack aims at.

`next`: the class after the true one, and the first class after the last.

`random`: a wrong class that depends on the true class and on the order of the clean image's logits
by a fixed pseudo-random rule, so that an image has the same target in every batch and run.

`leastlikely`: the wrong class with the lowest logit at the clean image.

`each`: every wrong class in turn. An attack with a budget keeps an image at the first class that it
reaches, or else at the last class; an attack without one keeps the nearest image that reaches its
class. It takes as long as one attack for each wrong class.
"""

Craft = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Function of images, labels and target classes that attacks; None for any wrong class."""


class Targetable(Attack):
    """Attack with the parameters `targeted` and `target`, which its dataclass declares.

    Attributes:
        targeted: whether the attack aims at a class, instead of any wrong class.
        target: class that a targeted attack aims at.
    """

    targeted: bool
    target: Target

    def __post_init__(self) -> None:
        if self.target != "next" and not self.targeted:
            raise ValueError(
                f"parameter target={self.target}: only for a targeted attack; add targeted=true"
            )

    def targets(self, logits: Tensor, labels: Tensor) -> Tensor | None:
        """Class that the attack aims at for each image; see `Attack.targets`."""
        return _CHOICES[self.target](logits, labels) if self._has_one_target else None

    def aimed(self, model: nn.Module, images: Tensor, labels: Tensor, craft: Craft) -> Tensor:
        """The images that `craft` returns for the chosen targets.

        Args:
            model: attacked model.
            images: clean images (n, c, h, w).
            labels: true classes (n,).
            craft: function that attacks images (m, c, h, w) of the batch.
        """
        if not self.targeted:
            return craft(images, labels, None)
        if self.target == "each":
            return _over_classes(model, images, labels, craft, self)

        return craft(images, labels, self.targets(self._clean_logits(model, images), labels))

    @property
    def _has_one_target(self) -> bool:
        return self.targeted and self.target != "each"

    def _clean_logits(self, model: nn.Module, images: Tensor) -> Tensor:
        # The class after the true one depends on the number of classes alone.
        if self.target != "next":
            return mean_logits(model, images)
        with torch.no_grad():
            logits: Tensor = model(images[:1])
        return logits


def _over_classes(
    model: nn.Module, images: Tensor, labels: Tensor, craft: Craft, attack: Attack
) -> Tensor:
    with torch.no_grad():
        classes = model(images[:1]).shape[1]
    norm = attack.ball() if isinstance(attack, MinimumNorm) else None
    kept = Worst(images)

    for shift in range(1, classes):
        index = kept.standing() if norm is None else torch.arange(len(images), device=labels.device)
        if len(index) == 0:
            break
        targets = (labels[index] + shift) % classes
        found = craft(images[index], labels[index], targets)
        reached = _share(model, found, targets)

        # A later class takes the place of an earlier one that was not reached either.
        rank = reached.new_full(reached.shape, float(shift))
        rank = rank if norm is None else -distances(images[index], found, norm)
        kept.offer(found, rank, reached.floor(), index)

    return kept.images


def _share(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Share of the model's draws in which each image is classified as its target, (n,)."""
    with torch.no_grad():
        reached = [is_target(model(images), targets).to(images) for _ in range(draws(model))]
    return torch.stack(reached).mean(dim=0)


def _next(logits: Tensor, labels: Tensor) -> Tensor:
    return (labels + 1) % logits.shape[1]


def _random(logits: Tensor, labels: Tensor) -> Tensor:
    classes = logits.shape[1]
    generator = torch.Generator().manual_seed(0)
    weights = torch.randint(1, 2**20, (classes,), generator=generator).to(labels.device)
    number = (logits.argsort(dim=1) * weights).sum(dim=1)
    return (labels + 1 + number % max(1, classes - 1)) % classes


def _least_likely(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.scatter(1, labels[:, None], torch.inf).argmin(dim=1)


_CHOICES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "next": _next,
    "random": _random,
    "leastlikely": _least_likely,
}
