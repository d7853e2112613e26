"""Auto-PGD: Croce, Hein, ICML 2020 (arXiv:2003.01690)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from attacks._auto_steps import ascend
from attacks._losses import dlr, is_wrong, margin, targeted_dlr
from attacks._queries import (
    Loss,
    Objective,
    Worst,
    draws,
    is_confirmed,
    mean_logits,
    measure,
)
from bench.contracts import Attack, Fraction, PositiveInt, within
from bench.registry import register_attack

_LOSSES: Mapping[str, Loss] = {
    "ce": partial(cross_entropy, reduction="none"),
    "dlr": dlr,
    "margin": margin,
}

_TARGET_CLASSES = 9

_BY_LUCK = 0.99
"""Share of the draws noted for an image that a further call classified correctly; below 1."""


@register_attack("apgd")
@dataclass(frozen=True)
class APGD(Attack):
    """Auto-PGD: gradient ascent with momentum that chooses its step sizes (arXiv:2003.01690).

    Algorithm 1 of the paper. The first step is twice the budget; at checkpoints the step is halved
    and the ascent goes on from the best iterate, if the loss rose too seldom. The iterate returned
    for each image is its worst one: the share of the model's draws that are misclassified comes
    first, then the loss. An image that is misclassified in every draw, and in seven further calls,
    leaves the restarts and targets that follow.

    The start is a random point of the ball in L-infinity, and of the sphere in L2. The last iterate
    is judged, too.

    Attributes:
        steps: number of gradient steps in a restart, for each target, at least 1.
        restarts: number of random starts, at least 1.
        loss: loss that is maximized: `ce` (cross-entropy), `dlr` (difference of logits ratio),
            `targeted` (targeted difference of logits ratio towards each of the likeliest wrong
            classes, one after the other; APGD-T in the paper), or `margin` (largest other logit
            minus the true one).
        norm: norm that eps bounds: `linf` or `l2`.
        rho: share of the steps between two checkpoints in which the loss must rise, in [0, 1].
        target_classes: number of wrong classes that `targeted` aims at, at least 1; 9 by default.
            It is refused with another loss.
    """

    steps: PositiveInt = 100
    restarts: PositiveInt = 1
    loss: Literal["ce", "dlr", "targeted", "margin"] = "ce"
    norm: Literal["linf", "l2"] = "linf"
    rho: Fraction = 0.75
    target_classes: PositiveInt | None = None

    def __post_init__(self) -> None:
        if self.loss == "targeted":
            object.__setattr__(self, "target_classes", self.target_classes or _TARGET_CLASSES)
        elif self.target_classes is not None:
            raise ValueError(
                f"parameter target_classes={self.target_classes}: only for loss=targeted, "
                f"and loss is {self.loss}"
            )

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """The worst iterates of all restarts and targets; see `Attack.perturb`."""
        targets = self._targets(model, images, labels)
        worst = Worst(images)

        for number, aim in enumerate(targets * self.restarts):
            if number:
                self._take_back(model, worst, labels)
            index = worst.standing()
            if len(index) == 0:
                break
            measured = partial(
                measure,
                model,
                classes=labels[index],
                objective=self._objective(None if aim is None else aim[index]),
                count=draws(model),
            )
            start = self._start(images[index], eps)
            found = ascend(measured, images[index], start, eps, self.norm, self.steps, self.rho)
            worst.offer(found.images, found.loss, found.reached, index)

        return worst.images

    def _take_back(self, model: nn.Module, worst: Worst, labels: Tensor) -> None:
        """Let the images stand that a randomized model misclassified by luck."""
        reached = (worst.reached >= 1).nonzero().squeeze(1)
        confirmed = is_confirmed(model, worst.images[reached], labels[reached])
        worst.reached[reached[~confirmed]] = _BY_LUCK

    def describe(self, eps: float) -> Mapping[str, float | int | str]:
        """First step size on the [0, 1] scale, and largest number of gradients for an image."""
        gradients = self.steps * self.restarts * (self.target_classes or 1)
        return {"first_step_size": 2 * eps, "gradients": gradients}

    def _targets(self, model: nn.Module, images: Tensor, labels: Tensor) -> list[Tensor | None]:
        """The target classes (n,) of each ascent; None for an ascent away from the true class."""
        if self.target_classes is None:
            return [None]

        logits = mean_logits(model, images).scatter(1, labels[:, None], -torch.inf)
        count = min(self.target_classes, logits.shape[1] - 1)
        return list(logits.topk(count, dim=1).indices.unbind(dim=1))

    def _objective(self, targets: Tensor | None) -> Objective:
        if targets is None:
            return Objective(_LOSSES[self.loss], is_wrong)
        return Objective(partial(targeted_dlr, targets=targets), is_wrong)

    def _start(self, images: Tensor, eps: float) -> Tensor:
        if self.norm == "linf":
            return within(images, images + eps * (2 * torch.rand_like(images) - 1), eps, "linf")

        noise = torch.randn_like(images)
        length = noise.flatten(1).norm(dim=1).view(-1, *[1] * (images.dim() - 1))
        return within(images, images + eps * noise / length, eps, "l2")
