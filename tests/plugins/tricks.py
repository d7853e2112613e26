"""Plugins that mislead an evaluation: in the purifier, in the classifier, and in the attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, interpolate

from bench.contracts import Attack, Classifier, DataInfo, Defense, FitContext
from bench.registry import register_attack, register_classifier, register_defense

Gradient = Literal["negative", "random", "ripple"]
"""A gradient that leads nowhere: the wrong way, at random, or along a ripple of high frequency."""


class _False(torch.autograd.Function):
    """The identity, with the negative gradient or random numbers as its derivative."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, how: str) -> Tensor:
        ctx.how = how
        return images.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        if ctx.how == "negative":
            return -gradients[0], None
        return gradients[0].norm() * torch.randn_like(gradients[0]), None


def misled(images: Tensor, how: Gradient) -> Tensor:
    """The images, with a gradient that leads nowhere."""
    if how == "ripple":
        return (images + 1e-3 * torch.sin(3e4 * images)).clamp(0, 1)
    result: Tensor = _False.apply(images, how)
    return result


def soft(images: Tensor) -> Tensor:
    """The images, slightly smoothed."""
    smooth = interpolate(avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
    return 0.8 * images + 0.2 * smooth


# Tricks of the purifier.


@register_defense("false_gradient")
@dataclass(frozen=True)
class FalseGradient(Defense):
    """A weak filter with a gradient that leads nowhere."""

    how: Gradient = "negative"

    def build(self, data: DataInfo) -> nn.Module:
        how = self.how

        class Purifier(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return soft(misled(images, how))

        return Purifier()


@register_defense("two_faced")
@dataclass(frozen=True)
class TwoFaced(Defense):
    """A weak filter that mirrors the images while gradients are on."""

    def build(self, data: DataInfo) -> nn.Module:
        class Purifier(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return soft(images.flip(-1) if torch.is_grad_enabled() else images)

        return Purifier()


class _Memory(nn.Module):
    """The nearest of some images, with the gradient of the identity."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.register_buffer("known", images)

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            nearest = torch.cdist(images.flatten(1), self.known.flatten(1)).argmin(dim=1)
        return images + (self.known[nearest] - images).detach()


@register_defense("memory")
@dataclass(frozen=True)
class Memory(Defense):
    """The nearest training image, with the gradient of the identity."""

    def build(self, data: DataInfo) -> nn.Module:
        return _Memory(torch.zeros(500, *data.shape))

    def fit(self, module: nn.Module, context: FitContext) -> None:
        module.known.copy_(next(context.batches(500, epochs=1))[0])


@register_defense("leak")
@dataclass(frozen=True)
class Leak(Defense):
    """The nearest image of all digits, those of the test set among them."""

    def build(self, data: DataInfo) -> nn.Module:
        digits = torch.from_numpy(load_digits().images).float()[:, None] / 16
        return _Memory(interpolate(digits, data.shape[1:], mode="bilinear", align_corners=False))


@register_defense("undeclared")
@dataclass(frozen=True)
class Undeclared(Defense):
    """Random shifts of the brightness, which it does not declare."""

    def build(self, data: DataInfo) -> nn.Module:
        class Purifier(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return (images + 0.3 * torch.randn_like(images)).clamp(0, 1)

        return Purifier()


@register_defense("declared")
@dataclass(frozen=True)
class Declared(Undeclared):
    """The same random shifts, declared."""

    stochastic: ClassVar[bool] = True


# Tricks of the classifier.


@register_classifier("false_classifier")
@dataclass(frozen=True)
class FalseClassifier(Classifier):
    """A small network with a gradient that leads nowhere, or that sees other images with it."""

    how: Literal["negative", "random", "ripple", "two_faced"] = "negative"

    def build(self, data: DataInfo) -> nn.Module:
        how = self.how
        channels, height, width = data.shape

        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = nn.Sequential(
                    nn.Conv2d(channels, 8, 3, stride=2, padding=1),
                    nn.ReLU(),
                    nn.Flatten(),
                    nn.Linear(8 * (height // 2) * (width // 2), 32),
                    nn.ReLU(),
                    nn.Linear(32, data.classes),
                )

            def forward(self, images: Tensor) -> Tensor:
                if self.training:
                    logits: Tensor = self.layers(images)
                elif how == "two_faced":
                    seen = images.flip(-1) if torch.is_grad_enabled() else images
                    logits = self.layers(seen)
                else:
                    logits = self.layers(misled(images, how))
                return logits

        return Network()

    def fit(self, module: nn.Module, context: FitContext) -> None:
        optimizer = torch.optim.Adam(module.parameters(), 2e-3)
        for images, labels in context.batches(64, epochs=12):
            loss = cross_entropy(module(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


# Tricks of the attack.


def descended(model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """Twenty steps along the sign of the gradient, in L-infinity."""
    result = images
    for _ in range(20):
        inputs = result.detach().requires_grad_(True)
        loss = cross_entropy(model(inputs), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, inputs)
        result = result + 0.15 * eps * gradient.sign()
        result = (images + (result - images).clamp(-eps, eps)).clamp(0, 1)
    return result.detach()


@register_attack("false_attack")
@dataclass(frozen=True)
class FalseAttack(Attack):
    """An attack that spares half of the images, is noise, or does not average over draws.

    Attributes:
        how: `half` moves every other image by a millionth; `noise` is uniform noise; `one_draw`
            ignores the model's attribute `eot`.
    """

    how: Literal["half", "noise", "one_draw"] = "half"

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        if self.how == "noise":
            return (images + eps * torch.empty_like(images).uniform_(-1, 1)).clamp(0, 1)

        result = descended(model, images, labels, eps)
        if self.how == "half":
            result[::2] = (images[::2] + 1e-6).clamp(0, 1)
        return result
