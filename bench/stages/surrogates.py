"""The models an attacker is given, made of a purifier and a classifier."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class DefendedClassifier(nn.Module):
    """Purifier and classifier; images (n, c, h, w) in [0, 1] to logits (n, classes).

    Logits always depend on the images as autograd sees it: a purifier that cuts the graph leaves a
    zero gradient, which the verdict tells, instead of an error in the middle of an attack.

    Attributes:
        purifier: None for the bare classifier.
        classifier: maps images to logits.
        eot: calls over which an attack averages the gradient of its loss.
        calls: how often it was called, for those who wait.
        generator: the purifier, where it generates images from a latent code; what it then offers
            is `latent`, the dimension of the code, and `generate(z)`, images (n, c, h, w) of codes
            (n, latent). Else None.
    """

    def __init__(self, purifier: nn.Module | None, classifier: nn.Module) -> None:
        super().__init__()
        self.purifier, self.classifier = purifier, classifier
        self.eot, self.calls = 1, 0
        inner = purifier.purifier if isinstance(purifier, IdentityBackward) else purifier
        self.generator = inner if hasattr(inner, "generate") and hasattr(inner, "latent") else None

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        self.calls += 1
        logits: Tensor = self.classifier(self.purifier(images.clone()) if self.purifier else images)
        if images.requires_grad and torch.is_grad_enabled() and not logits.requires_grad:
            logits = logits + 0 * images.flatten(1).sum(dim=1, keepdim=True)
        return logits


class IdentityBackward(nn.Module):
    """The real purifier forward, the identity backward (BPDA: Athalye, Carlini, Wagner 2018, section 4.1)."""

    def __init__(self, purifier: nn.Module) -> None:
        super().__init__()
        self.purifier = purifier

    def forward(self, images: Tensor) -> Tensor:
        """Purified images; their gradient becomes that of `images`."""
        with torch.no_grad():
            purified = self.purifier(images.detach().clone())
        result: Tensor = _Identity.apply(images, purified)
        return result


class _Identity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, purified: Tensor) -> Tensor:  # noqa: ARG004 - autograd's signature
        return purified.view_as(purified)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return gradients[0], None


class NoGradient(nn.Module):
    """Query access: the pipeline's logits without a gradient."""

    def __init__(self, pipeline: DefendedClassifier) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.eot = 1

    @property
    def calls(self) -> int:
        """Of the pipeline."""
        return self.pipeline.calls

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        with torch.no_grad():
            logits: Tensor = self.pipeline(images.detach())
        return logits
