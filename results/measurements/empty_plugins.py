"""Plugins whose work takes no time, so that a run of them costs what the harness costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.contracts import Attack, Classifier, DataInfo, Defense, FitContext
from bench.registry import register_attack, register_classifier, register_defense


@register_attack("unchanged")
@dataclass(frozen=True)
class Unchanged(Attack):
    """Attack that returns the images as they are.

    Attributes:
        number: number that makes one such attack another than the next.
    """

    number: int = 0

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """The images."""
        return images.clone()


@register_classifier("nearest_mean")
@dataclass(frozen=True)
class NearestMean(Classifier):
    """One layer, which gives an image the class whose mean image is nearest."""

    def build(self, data: DataInfo) -> nn.Module:
        """Logits of the flattened image."""
        channels, height, width = data.shape
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, data.classes))

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Set the layer to the means of the classes."""
        layer = module.get_submodule("1")
        batches = [(images.flatten(1), labels) for images, labels in context.batches(512, epochs=1)]
        images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
        chosen = nn.functional.one_hot(labels, layer.out_features).to(images)
        means = chosen.T @ images / chosen.sum(dim=0).unsqueeze(1)
        with torch.no_grad():
            layer.weight.copy_(means)
            layer.bias.copy_(-means.square().sum(dim=1) / 2)


@register_defense("same")
@dataclass(frozen=True)
class Same(Defense):
    """Defense that returns the images as they are.

    Attributes:
        number: number that makes one such defense another than the next.
    """

    number: int = 0

    def build(self, data: DataInfo) -> nn.Module:
        """The identity."""
        return nn.Identity()
