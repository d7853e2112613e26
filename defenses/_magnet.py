"""MagNet's network: detectors by auto-encoders, in front of a reformer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

Logits = Callable[[Tensor], Tensor]
"""A function from images to logits (n, classes), or to log-probabilities."""

_LEAST_THRESHOLD = 1e-6
"""What marks are divided by at least, where the reconstructions of clean images are perfect."""


class MagNet(nn.Module):
    """Detectors that reject images, and a reformer that purifies the others.

    Args:
        networks: auto-encoders and reformer, each once.
        detectors: index of each detector's auto-encoder, by the name of its mark: `l2`, `l1` or
            `divergence`.
        reformer: index of the reformer; None for none.
        temperature: what logits are divided by before the divergence.

    Attributes:
        thresholds: largest mark of an image that a detector accepts, (detectors,).
    """

    rejects = True
    thresholds: Tensor

    def __init__(
        self,
        networks: Sequence[nn.Module],
        detectors: Mapping[str, int],
        reformer: int | None,
        temperature: float,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.detectors = detectors
        self.reformer = reformer
        self.temperature = temperature
        self.register_buffer("thresholds", torch.ones(len(detectors)))

    def forward(self, images: Tensor) -> Tensor:
        """The images after the reformer, whether they are rejected or not."""
        if self.reformer is None:
            return images

        reformed: Tensor = self.networks[self.reformer](images)
        return reformed

    def classify(self, images: Tensor, classifier: Logits) -> Tensor:
        """Log-probabilities (n, classes) of the reformed images, and a last score of a rejection.

        The last score is the largest if one of the marks is above its threshold.
        """
        made = self._made(images)
        marks = self._marks(images, made, classifier)
        scores = classifier(images if self.reformer is None else made[self.reformer]).log_softmax(1)

        excess = (marks - self.thresholds) / self.thresholds.clamp_min(_LEAST_THRESHOLD)
        rejection = scores.amax(dim=1) + excess.amax(dim=1)
        return torch.cat([scores, rejection[:, None]], dim=1)

    def marks(self, images: Tensor, classifier: Logits) -> Tensor:
        """The marks of the detectors, at least 0, (n, detectors).

        Args:
            images: (n, channels, height, width) in [0, 1].
            classifier: function from images to logits, which the divergence alone calls.
        """
        return self._marks(images, self._made(images), classifier)

    def _made(self, images: Tensor) -> list[Tensor]:
        """What each network makes of the images."""
        return [network(images) for network in self.networks]

    def _marks(self, images: Tensor, made: Sequence[Tensor], classifier: Logits) -> Tensor:
        def answer(shown: Tensor) -> Tensor:
            return (classifier(shown) / self.temperature).log_softmax(dim=1)

        marks = [
            _MARKS[name](images, made[index], answer) for name, index in self.detectors.items()
        ]
        return torch.stack(marks, dim=1)


def _squared_error(images: Tensor, made: Tensor, _: Logits) -> Tensor:
    return (images - made).square().mean(dim=(1, 2, 3))


def _absolute_error(images: Tensor, made: Tensor, _: Logits) -> Tensor:
    return (images - made).abs().mean(dim=(1, 2, 3))


def _divergence(images: Tensor, made: Tensor, answer: Logits) -> Tensor:
    """The Jensen-Shannon divergence of the probabilities, in [0, log 2]."""
    first, second = answer(images), answer(made)
    middle = torch.logaddexp(first, second) - math.log(2)
    apart = first.exp() * (first - middle) + second.exp() * (second - middle)
    return apart.sum(dim=1) / 2


_MARKS: Mapping[str, Callable[[Tensor, Tensor, Logits], Tensor]] = {
    "l2": _squared_error,
    "l1": _absolute_error,
    "divergence": _divergence,
}
