"""Defenses that decide by themselves: a detector that rejects, smoothing that abstains."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import cross_entropy, log_softmax, mse_loss, one_hot
from torch.optim import Adam

from bench.contracts import (
    DataInfo,
    Decision,
    Defense,
    FitContext,
    Fraction,
    PositiveFloat,
    PositiveInt,
)
from bench.registry import register_defense

Logits = Callable[[Tensor], Tensor]


@register_defense("error_detector")
@dataclass(frozen=True)
class Detector(Defense):
    """Auto-encoder whose reconstruction error rejects an image (Meng, Chen 2017, section 4.2)."""

    false_positives: Fraction = 0.05
    steps: PositiveInt = 150

    def build(self, data: DataInfo) -> nn.Module:
        return _Detector(data.shape[0])

    def fit(self, module: nn.Module, context: FitContext) -> None:
        optimizer = Adam(module.parameters(), lr=3e-3)
        for images, _ in context.batches(64, steps=self.steps):
            loss = mse_loss(module.get_submodule("coder")(images), images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            context.report(loss=loss)

        with torch.no_grad():
            errors = [module.error(images) for images, _ in context.batches(64, epochs=1)]  # type: ignore[operator]
        threshold = torch.cat(errors).quantile(1 - self.false_positives)
        module.get_buffer("threshold").copy_(threshold)


class _Detector(nn.Module):
    rejects = True
    threshold: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coder = nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(8, channels, 4, stride=2, padding=1),
        )
        self.register_buffer("threshold", torch.tensor(1.0))

    def error(self, images: Tensor) -> Tensor:
        """Mean squared error of the reconstruction, (n,)."""
        return (self.coder(images) - images).square().flatten(1).mean(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """The reconstruction, as MagNet's reformer returns it."""
        reconstructed: Tensor = self.coder(images).clamp(0, 1)
        return reconstructed

    def classify(self, images: Tensor, classifier: Logits) -> Tensor:
        """Log-probabilities, and a last score that passes them where the error is too large."""
        scores = log_softmax(classifier(images), dim=1)
        surplus = (self.error(images) - self.threshold) / self.threshold
        return torch.cat([scores, scores.amax(dim=1, keepdim=True) + surplus[:, None]], dim=1)


@register_defense("abstaining")
@dataclass(frozen=True)
class Smoothing(Defense):
    """Randomized smoothing with abstention and a certified radius (Cohen et al. 2019).

    It makes no image: `forward` is left out. The bound on the probability of the top class is that
    of Hoeffding in place of Clopper-Pearson's.
    """

    sigma: PositiveFloat = 0.25
    samples: PositiveInt = 64
    alpha: Fraction = 0.05

    stochastic: ClassVar[bool] = True

    def build(self, data: DataInfo) -> nn.Module:
        return _Smoothing(self.sigma, self.samples, self.alpha)


class _Smoothing(nn.Module):
    rejects = True

    def __init__(self, sigma: float, samples: int, alpha: float) -> None:
        super().__init__()
        self.sigma = sigma
        self.samples = samples
        self.slack = math.sqrt(-math.log(alpha) / (2 * samples))

    def classify(self, images: Tensor, classifier: Logits) -> Decision:
        """Shares of votes, and a last one of 1/2, which wins where no class has a majority."""
        votes = torch.stack([self._probabilities(images, classifier) for _ in range(self.samples)])
        soft = votes.mean(dim=0)
        counts = one_hot(votes.argmax(2), votes.shape[2]).float().mean(dim=0)
        shares = soft + (counts - soft).detach() - self.slack
        top = shares.amax(dim=1).clamp(max=1 - 1e-6)
        radius = self.sigma * Normal(0, 1).icdf(top.clamp_min(0.5))
        certified = torch.where(top > 0.5, radius, torch.nan)
        half = torch.full_like(shares[:, :1], 0.5)
        return Decision(torch.cat([shares, half], dim=1), {"radius": certified})

    def _probabilities(self, images: Tensor, classifier: Logits) -> Tensor:
        noisy = images + self.sigma * torch.randn_like(images)
        return classifier(noisy).softmax(dim=1)


@register_defense("anti_adversary")
@dataclass(frozen=True)
class AntiAdversary(Defense):
    """Anti-adversary layer (Alfarra et al. 2022): steps towards what the classifier predicts."""

    steps: PositiveInt = 2
    rate: PositiveFloat = 0.15

    def build(self, data: DataInfo) -> nn.Module:
        return _AntiAdversary(self.steps, self.rate)


class _AntiAdversary(nn.Module):
    def __init__(self, steps: int, rate: float) -> None:
        super().__init__()
        self.steps = steps
        self.rate = rate

    def classify(self, images: Tensor, classifier: Logits) -> Tensor:
        """Logits of the images moved so that the loss of the predicted class falls."""
        predicted = classifier(images).argmax(1)
        change = torch.zeros_like(images)
        for _ in range(self.steps):
            with torch.enable_grad():
                change = change.detach().requires_grad_(True)
                loss = cross_entropy(classifier(images.detach() + change), predicted)
                (gradient,) = torch.autograd.grad(loss, change)
            change = change - self.rate * gradient.sign()
        return classifier(images + change.detach())
