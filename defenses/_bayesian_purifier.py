"""Bayesian purifiers: images purified under draws of the weights, and decisions over the draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from bench.contracts import Decision
from defenses._disagreement import disagreement
from defenses._draws import copies_of
from defenses._posterior import Posterior

_MEASURED_DRAWS = 20
"""Number of draws from which their spread is measured."""

_HALVINGS = 20
"""Number of times that the interval of the noise's standard deviation is halved."""


class BayesianPurifier(nn.Module):
    """A purifier whose weights are drawn at each call.

    The control asks whether the draws are worth more than any randomness. It purifies with the
    weights in the middle and adds Gaussian noise of the same spread: a pixel's standard deviation
    over draws, in [0, 1] as the classifier sees it, the root mean square over attacked training
    images and pixels.

    Args:
        posterior: distribution over the weights of an auto-encoder.
        control: whether plain noise of the same amount replaces the draws of the weights.
    """

    noise_std: Tensor

    def __init__(self, posterior: Posterior, *, control: bool) -> None:
        super().__init__()
        self.posterior = posterior
        self.control = control
        self.register_buffer("noise_std", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """Images purified by a single draw, in [0, 1]."""
        if not self.control:
            purified: Tensor = self.posterior(images)
            return purified

        certain = self.posterior.mean(images)
        return (certain + self.noise_std * torch.randn_like(certain)).clamp(0, 1)

    def measure(self, images: Tensor) -> None:
        """Set the noise of the control by the draws on images (n, channels, height, width)."""
        was_training = self.training
        self.eval()
        with torch.no_grad():
            purified = torch.stack(list(self.posterior.draws(images, _MEASURED_DRAWS)))
            self.noise_std.copy_(_noise_std(self.posterior.mean(images), _spread(purified)))
        self.train(was_training)


def _spread(purified: Tensor) -> Tensor:
    """The root mean square of the standard deviation over draws (draws, n, c, h, w)."""
    return purified.var(dim=0, correction=0).mean().sqrt()


def _noise_std(images: Tensor, spread: Tensor) -> Tensor:
    """The standard deviation of the noise that gives images in [0, 1] a spread.

    Most pixels of some images are black, where noise is cut at 0 and spreads less.
    """
    noise = torch.randn(_MEASURED_DRAWS, *images.shape, device=images.device)
    low, high = torch.zeros_like(spread), torch.ones_like(spread)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_enough = _spread((images + middle * noise).clamp(0, 1)) >= spread
        low, high = torch.where(is_enough, low, middle), torch.where(is_enough, middle, high)

    return (low + high) / 2


class BayesianDecision(BayesianPurifier):
    """The mean of the classifier's logits over several draws.

    Args:
        posterior: distribution over the weights of an auto-encoder.
        draws: number of draws for each image.
        control: whether plain noise of the same amount replaces the draws of the weights.
    """

    def __init__(self, posterior: Posterior, draws: int, *, control: bool) -> None:
        super().__init__(posterior, control=control)
        self.draws = draws

    def classify(self, images: Tensor, classifier: Callable[[Tensor], Tensor]) -> Decision:
        """Logits (n, classes), and with several draws how far they disagree about each image.

        Args:
            images: images before purification, (n, channels, height, width).
            classifier: function from images to logits (n, classes).
        """
        logits = torch.cat([classifier(purified) for purified in self._purified(images)])
        of_draws = logits.unflatten(0, (self.draws, len(images)))
        extras = {"disagreement": disagreement(of_draws)} if self.draws > 1 else {}

        return Decision(of_draws.mean(dim=0), extras)

    def _purified(self, images: Tensor) -> Iterator[Tensor]:
        """Batches of purified images, which have every image once for each draw."""
        if self.control or self.posterior.independent_draws:
            for copies in copies_of(images, self.draws, in_one_call=True):
                yield self(copies)
        else:
            yield from self.posterior.draws(images, self.draws)


class BayesianDetector(BayesianDecision):
    """The same, where an image about which the draws disagree too much is rejected.

    Args:
        posterior: distribution over the weights of an auto-encoder.
        draws: number of draws for each image, at least 2.
        control: whether plain noise of the same amount replaces the draws of the weights.
        threshold: disagreement above which an image is rejected.
    """

    rejects: ClassVar[bool] = True

    def __init__(
        self, posterior: Posterior, draws: int, *, control: bool, threshold: float
    ) -> None:
        super().__init__(posterior, draws, control=control)
        self.threshold = threshold

    def classify(self, images: Tensor, classifier: Callable[[Tensor], Tensor]) -> Decision:
        """Logits (n, classes + 1), the last the largest where the image is rejected."""
        decision = super().classify(images, classifier)
        surplus = decision.extras["disagreement"] / self.threshold - 1
        rejection = decision.logits.amax(dim=1) + surplus

        return Decision(torch.cat([decision.logits, rejection[:, None]], dim=1), decision.extras)
