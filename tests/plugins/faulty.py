"""Plugins that break their contracts, each in a way that a parameter chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bench.contracts import Attack, Classifier, DataInfo, Defense, FitContext, Spec
from bench.registry import register_attack, register_classifier, register_defense


class _Break(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.calls = 0
        if how == "engine":
            self.accelerated = lambda by: by.function(lambda images: images * 0.5)

    def forward(self, images: Tensor) -> object:
        self.calls += 1
        match self.how:
            case "raises":
                raise RuntimeError("no such luck")
            case "nan":
                return images * float("nan")
            case "shape":
                return images[..., 1:]
            case "range":
                return images * 3 - 1
            case "dtype":
                return images.double()
            case "none":
                return None
            case "black":
                return images * 0
            case "in_place":
                return images.mul_(0.5)
            case "random":
                return (images + 0.1 * torch.rand_like(images)).clamp(0, 1)
            case "latency":
                if len(images) == 4:
                    raise RuntimeError("four [/is] too many")
                return images
            case "batch":
                return (images - images.mean(dim=0, keepdim=True)).abs()
            case _:
                return images


How = Literal[
    "raises", "nan", "shape", "range", "dtype", "none", "black", "in_place", "random", "batch",
    "fit", "loss", "state", "bfloat16", "latency", "engine", "ok",
]  # fmt: skip


@register_defense("broken")
@dataclass(frozen=True)
class Broken(Defense):
    """A purifier that breaks its contract in a chosen way."""

    how: How = "raises"

    def build(self, data: DataInfo) -> nn.Module:
        return _Break(self.how)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        for _ in context.batches(8, steps=3):
            if self.how == "loss":
                context.report(loss=torch.tensor(float("nan")))
            if self.how == "state":
                module.register_buffer("extra", torch.zeros(1))
            if self.how == "bfloat16":
                module.register_buffer("extra", torch.zeros(1, dtype=torch.bfloat16))
            if self.how == "fit":
                raise ValueError("cannot learn this")


@register_defense("careless")
@dataclass(frozen=True)
class Careless(Defense):
    """A purifier whose training asks for an attack that does not exist."""

    uses_classifier = True

    def build(self, data: DataInfo) -> nn.Module:
        return nn.Identity()

    def fit(self, module: nn.Module, context: FitContext) -> None:
        for images, labels in context.batches(8, steps=3):
            context.adversarial(Spec("pdg"), images, labels, 0.1)


@register_attack("broken_attack")
@dataclass(frozen=True)
class BrokenAttack(Attack):
    """An attack that breaks its contract in a chosen way."""

    how: Literal[
        "ball", "raises", "nan", "range", "nothing", "in_place",
        "infinite", "number_as_name", "list", "many", "text",
    ] = "ball"  # fmt: skip

    def describe(self, eps: float) -> Mapping[str, float | int | str]:
        descriptions = {
            "infinite": {"step": float("inf")},
            "number_as_name": {1: 2},
            "list": {"steps": [1, 2]},
            "many": {str(number): number for number in range(1_000)},
            "text": {"\x1b[31mstep\n": "\x1b[2Jsmall"},
        }
        return descriptions.get(self.how, {})  # type: ignore[return-value]

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        match self.how:
            case "ball":
                return (images + 2 * eps).clamp(0, 1)
            case "raises":
                raise RuntimeError("the gradient is shy")
            case "nan":
                return images * float("nan")
            case "range":
                return images - 0.5 * eps - 0.01
            case "in_place":
                labels.zero_()
                return images.add_(0.5 * eps).clamp_(0, 1)
            case _:
                return images


@register_classifier("in_place")
@dataclass(frozen=True)
class InPlace(Classifier):
    """The nearest mean image of the classes, by a module that shifts its input in place."""

    def build(self, data: DataInfo) -> nn.Module:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear = nn.Linear(data.shape[1] * data.shape[2], data.classes)

            def forward(self, images: Tensor) -> Tensor:
                return self.linear(images.sub_(0.5).flatten(1))

        return Net()

    def fit(self, module: nn.Module, context: FitContext) -> None:
        images, labels = next(context.batches(500, epochs=1))
        means = torch.stack([images[labels == label].mean(dim=0) for label in labels.unique()])
        centered = means.flatten(1) - 0.5
        with torch.no_grad():
            module.linear.weight.copy_(centered)
            module.linear.bias.copy_(-0.5 * (centered**2).sum(dim=1))


@register_classifier("constant")
@dataclass(frozen=True)
class Constant(Classifier):
    """A classifier that always predicts class 0."""

    def build(self, data: DataInfo) -> nn.Module:
        class Net(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                logits = torch.zeros(len(images), data.classes)
                logits[:, 0] = 1
                return logits + 0 * images.sum()

        return Net()
