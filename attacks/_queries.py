"""Calls of the attacked model: mean logits and gradients over its draws, and the worst image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

_CONFIRMATIONS = 7
"""Number of further calls in which a break must hold."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Function of logits (n, k) and classes (n,) that gives a number for each image, (n,)."""


@dataclass(frozen=True)
class Objective:
    """What an iterative attack maximizes, as functions of logits (n, k) and classes (n,).

    Attributes:
        loss: loss of each image, (n,), to be maximized.
        reached: whether each image is where the attack wants it, (n,) bool.
    """

    loss: Loss
    reached: Callable[[Tensor, Tensor], Tensor]


class Measured(NamedTuple):
    """An objective at some images, as means over the draws of the model.

    Attributes:
        gradient: gradient of the loss, as the images (n, c, h, w), zero where it is not finite;
            zero everywhere if it was not asked for.
        loss: loss of each image, (n,); minus infinity in place of NaN.
        reached: share of the draws in which each image is where the attack wants it, (n,).
    """

    gradient: Tensor
    loss: Tensor
    reached: Tensor


class Worst:
    """The worst iterate of each image so far.

    The iterate that reaches the aim in the most draws is the worst, and among these the one with
    the highest loss; the later one if both are equal. In a model without randomness a misclassified
    iterate therefore comes first.

    Attributes:
        images: worst iterates (n, c, h, w); those given at first, until others are offered.
        loss: their losses, (n,).
        reached: share of the draws in which they reach the aim, (n,); -1 before the first offer.
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images.clone()
        self.loss = images.new_full((len(images),), -torch.inf)
        self.reached = images.new_full((len(images),), -1.0)

    def offer(
        self, images: Tensor, loss: Tensor, reached: Tensor, index: Tensor | None = None
    ) -> None:
        """Take over the images that are worse or as bad, each in place of its counterpart.

        Args:
            images: iterates (m, c, h, w).
            loss: their losses, (m,).
            reached: share of the draws in which they reach the aim, (m,).
            index: positions (m,) of their counterparts; None for all, in the same order.
        """
        index = torch.arange(len(self.images), device=images.device) if index is None else index
        kept, kept_loss, kept_reached = self.images[index], self.loss[index], self.reached[index]
        is_more = reached > kept_reached
        is_worse = is_more | ((reached == kept_reached) & (loss >= kept_loss))

        # A mask as an index would make the host wait for the number of images in it.
        self.images[index] = where(is_worse, images, kept)
        self.loss[index] = where(is_worse, loss, kept_loss)
        self.reached[index] = where(is_worse, reached, kept_reached)

    def standing(self) -> Tensor:
        """Positions of the images that do not reach the aim in every draw."""
        return (self.reached < 1).nonzero().squeeze(1)


def where(mask: Tensor, images: Tensor, others: Tensor) -> Tensor:
    """`images` where the mask (n,) is true, else `others`; all of them (n, ...)."""
    return torch.where(mask.view(-1, *[1] * (images.dim() - 1)), images, others)


def draws(model: nn.Module) -> int:
    """Number of calls that a value or gradient is averaged over: the attribute `eot`, or 1."""
    return int(getattr(model, "eot", 1))


def given_start(model: nn.Module, images: Tensor) -> Tensor:
    """The images (n, c, h, w) to start from: the attribute `start`, or else the images."""
    start: Tensor | None = getattr(model, "start", None)
    return images if start is None else start


def is_deterministic(model: nn.Module, images: Tensor) -> bool:
    """Whether two calls of the model on the same images give the same logits up to rounding."""
    with torch.no_grad():
        return torch.allclose(model(images), model(images), rtol=1e-3, atol=1e-3)


def is_confirmed(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Whether misclassified images are so in several further calls too, (n,) bool.

    One lucky draw of a randomized model is no reason to let an image go.
    """
    index = torch.arange(len(images), device=images.device)
    for _ in range(_CONFIRMATIONS):
        if len(index) == 0:
            break
        index = index[mean_logits(model, images[index]).argmax(dim=1) != labels[index]]

    return torch.zeros_like(labels, dtype=torch.bool).index_fill(0, index, value=True)


def mean_logits(model: nn.Module, images: Tensor) -> Tensor:
    """The mean (n, classes) of the logits over the model's draws, without gradient."""
    count = draws(model)
    with torch.no_grad():
        total: Tensor = model(images)
        for _ in range(count - 1):
            total = total + model(images)
    return total / count


def measure(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    classes: Tensor,
    objective: Objective,
    count: int,
    *,
    gradient: bool = True,
) -> Measured:
    """The objective at the images as the mean over `count` calls, one graph at a time.

    Args:
        model: map from images (n, c, h, w) to logits (n, k).
        images: where to measure; not part of a graph.
        classes: classes (n,) that the objective is a function of.
        objective: what the attack maximizes.
        count: number of calls.
        gradient: whether to compute the gradient, too.
    """
    total = Measured(torch.zeros_like(images), *images.new_zeros(2, len(images)))
    for _ in range(count):
        once = _call(model, images, classes, objective, gradient)
        total = Measured(*(old + new for old, new in zip(total, once, strict=True)))

    mean = Measured(*(value / count for value in total))
    return mean._replace(loss=mean.loss.nan_to_num(nan=-torch.inf, posinf=torch.inf))


def _call(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    classes: Tensor,
    objective: Objective,
    gradient: bool,
) -> Measured:
    with torch.set_grad_enabled(gradient):
        inputs = images.detach().requires_grad_(gradient)
        logits = model(inputs)
        loss = objective.loss(logits, classes)
        slope = gradient_of(loss.sum(), inputs) if gradient else torch.zeros_like(images)

    return Measured(slope, loss.detach(), objective.reached(logits, classes).to(images))


def gradient_of(value: Tensor, inputs: Tensor, *, retain_graph: bool = False) -> Tensor:
    """The gradient of a number, shape of the inputs; zero where it is not finite or not defined."""
    if not value.requires_grad:
        return torch.zeros_like(inputs)

    (gradient,) = torch.autograd.grad(value, inputs, retain_graph=retain_graph, allow_unused=True)
    return torch.zeros_like(inputs) if gradient is None else finite(gradient)


def finite(gradient: Tensor) -> Tensor:
    """The gradient with zeros for NaN and infinite entries."""
    return gradient.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def scaled(gradient: Tensor) -> Tensor:
    """The gradient (n, ...) times a power of two for each image: its largest entry is near 1.

    The norm of a gradient of 1e-30 underflows in float32. A power of two changes no digit, so a
    direction that could be computed before stays the same.
    """
    largest = gradient.abs().flatten(1).amax(dim=1).view(-1, *[1] * (gradient.dim() - 1))
    power = largest / torch.frexp(largest).mantissa
    return gradient / torch.where(largest > 0, power, 1.0)


def unit(gradient: Tensor) -> Tensor:
    """The gradient (n, ...) at length 1 in L2 for each image; zero where it is zero."""
    large = scaled(gradient)
    length = large.flatten(1).norm(dim=1).view(-1, *[1] * (gradient.dim() - 1))
    return large / torch.where(length > 0, length, 1.0)
