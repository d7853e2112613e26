"""The models that the checks of attacks attack: one that tells all, and ones that tell less."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softmax

from bench.conformance.subject import Subject
from bench.stages.surrogates import DefendedClassifier

_MIXED_IMAGES = 32
"""Number of images that the generator mixes."""

_LEAD = 3.0
"""Logit by which `Unbreakable` favours its class; the other logits differ by less than 2."""


class AttackedModel(DefendedClassifier):
    """The model that an attack is given, with a generator for attacks on a latent code.

    Attributes:
        gradient_calls: number of calls whose logits had a gradient.
    """

    def __init__(self, subject: Subject, classifier: nn.Module | None = None, eot: int = 1) -> None:
        super().__init__(None, classifier or subject.classifier)
        self.generator = _MixtureGenerator(subject.split[0][:_MIXED_IMAGES])
        self.eot = eot
        self.gradient_calls = 0
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of the images."""
        logits = super().forward(images)
        self.gradient_calls += logits.requires_grad
        return logits


class _MixtureGenerator(nn.Module):
    """A generator of weighted means of images.

    Attributes:
        latent: dimension of the latent code, which is the number of images.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = images
        self.latent = len(images)

    def generate(self, z: Tensor) -> Tensor:
        """Weighted means of the images, (n, c, h, w) from codes (n, latent)."""
        return torch.einsum("nk,kchw->nchw", softmax(z, dim=1), self.images)


class DecisionsOnly(nn.Module):
    """A classifier that gives its decisions as one-hot vectors and has no gradient."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """One-hot vectors (n, classes) of the predicted classes."""
        with torch.no_grad():
            logits = self.classifier(images)

        return one_hot(logits.argmax(1), logits.shape[1]).to(images)


class ScoresOnly(nn.Module):
    """A classifier whose logits have no gradient."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) that do not depend on the images as autograd sees it."""
        with torch.no_grad():
            logits: Tensor = self.classifier(images)

        return logits


class Unbreakable(nn.Module):
    """A classifier with a gradient that gives every image the class 0."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes), of which the first is the largest by at least 1."""
        logits: Tensor = self.classifier(images)
        lead = torch.zeros_like(logits)
        lead[:, 0] = _LEAD
        largest = logits.detach().abs().amax(dim=1, keepdim=True).clamp_min(1)
        return torch.tanh(logits / largest) + lead


class Constant(nn.Module):
    """A classifier whose logits are zero for every image, and so is its gradient."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Zeros (n, classes) that depend on the images as autograd sees it."""
        logits: Tensor = 0 * self.classifier(images)
        return logits
