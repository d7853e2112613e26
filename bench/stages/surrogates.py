"""The models that an attacker is given, made of a purifier and a classifier."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class DefendedClassifier(nn.Module):
    """Purifier and classifier in sequence: images (n, c, h, w) in [0, 1] to logits (n, classes).

    For autograd the logits always depend on the images. A purifier that cuts the graph therefore
    has a zero gradient, which the verdict reports, and does not raise in the middle of an attack.

    Attributes:
        purifier: module in front of the classifier; None for the bare classifier.
        classifier: map from images to logits.
        eot: number of calls over which an attack averages the gradient of its loss.
        calls: number of calls so far, shown as progress.
        generator: the purifier, if it generates images from a latent code; else None. A generator
            has `latent`, the dimension of the code, and `generate(z)`, a map from codes (n, latent)
            to images (n, c, h, w).
    """

    def __init__(self, purifier: nn.Module | None, classifier: nn.Module) -> None:
        super().__init__()
        self.purifier = purifier
        self.classifier = classifier
        self.eot = 1
        self.calls = 0

        inner = purifier.purifier if isinstance(purifier, IdentityBackward) else purifier
        self.generator = inner if hasattr(inner, "generate") and hasattr(inner, "latent") else None

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of the images."""
        self.calls += 1
        # A copy, because a module that works in place must not change the attacker's images.
        inputs = images.clone()
        purified = self.purifier(inputs) if self.purifier else inputs
        logits: Tensor = self.classifier(purified)

        # A term of value zero ties the logits to the images where the purifier has cut the graph.
        if images.requires_grad and torch.is_grad_enabled() and not logits.requires_grad:
            logits = logits + 0 * images.flatten(1).sum(dim=1, keepdim=True)

        return logits


class IdentityBackward(nn.Module):
    """The purifier with the gradient of the identity (BPDA).

    Source: Athalye, Carlini and Wagner 2018, section 4.1.
    """

    def __init__(self, purifier: nn.Module) -> None:
        super().__init__()
        self.purifier = purifier

    def forward(self, images: Tensor) -> Tensor:
        """Purified images, whose gradient is passed to `images` unchanged."""
        with torch.no_grad():
            purified = self.purifier(images.detach().clone())

        result: Tensor = _Identity.apply(images, purified)
        return result


class _Identity(torch.autograd.Function):
    """The second argument forward, the gradient of the first backward."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, purified: Tensor) -> Tensor:  # noqa: ARG004 - autograd's signature
        return purified.view_as(purified)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return gradients[0], None


class NoGradient(nn.Module):
    """A defended pipeline that gives logits but no gradient, for query access.

    Attributes:
        pipeline: purifier and classifier.
        eot: number of calls over which an attack averages a gradient; always 1.
    """

    def __init__(self, pipeline: DefendedClassifier) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.eot = 1

    @property
    def calls(self) -> int:
        """Number of calls so far, shown as progress."""
        return self.pipeline.calls

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of the images, detached from them."""
        with torch.no_grad():
            logits: Tensor = self.pipeline(images.detach())
        return logits
