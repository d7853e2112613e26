"""SWAG, "A Simple Baseline for Bayesian Uncertainty in Deep Learning" (Maddox et al. 2019).

The paper is arXiv:1902.02476, the official code wjmaddox/swa_gaussian.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from defenses._posterior import Gaussian, weights_of

_START = 161 / 300
"""Share of the training before the first snapshot: 161 of 300 epochs in the official code."""

_SNAPSHOTS = 100
"""Number of snapshots that would fit into the whole training."""

_LAST_RATE = 0.2
"""Learning rate at the snapshots, relative to the first one: 0.01 of 0.05 in the official code."""

_LEAST_VARIANCE = 1e-30
"""Variance that smaller ones are raised to, as in the official code."""


class SwagPosterior(Gaussian):
    """Gaussian through snapshots of the weights along the end of a training.

    Source: Maddox et al., arXiv:1902.02476, algorithm 1. The mean is that of all snapshots, the
    covariance half their variances and half a matrix of low rank from the last of them. Schedule of
    the learning rate and scales are those of the official code. Different are: Adam in place of
    SGD, a snapshot each 100th of the training in place of each epoch, and Welford's recursion for
    the variances, which loses no digits.

    Args:
        network: the auto-encoder.
        rank: number of snapshots whose deviations are kept, at least 2.
    """

    variance: Tensor
    deviations: Tensor

    def __init__(self, network: nn.Module, rank: int) -> None:
        super().__init__(network)
        weights = weights_of(network)
        self.register_buffer("variance", torch.zeros_like(weights))
        self.register_buffer("deviations", weights.new_zeros(rank, len(weights)))
        self._snapshots = 0
        self._mean = weights

    def forward(self, images: Tensor) -> Tensor:
        """Purified images under one draw; in training under the weights as they are."""
        return self.mean(images) if self.training else super().forward(images)

    def deviation(self) -> Tensor:
        """The difference of a draw from the mean, (weights,)."""
        rank = len(self.deviations)
        diagonal = self.variance.clamp(min=_LEAST_VARIANCE).sqrt() * torch.randn_like(self.variance)
        low_rank = torch.randn_like(self.deviations[:, 0]) @ self.deviations

        return diagonal / math.sqrt(2) + low_rank / math.sqrt(2 * (rank - 1))

    def schedule(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """The first rate for the first half before the snapshots, then falling to a constant."""
        return LambdaLR(optimizer, lambda step: _relative_rate(step / (_START * steps)))

    def follow(self, step: int, steps: int) -> None:
        """Take a snapshot where one is due."""
        since = step - round(_START * steps)
        if since > 0 and since % max(1, steps // _SNAPSHOTS) == 0:
            self.collect(weights_of(self.network))

    def collect(self, weights: Tensor) -> None:
        """Add a snapshot of the weights (weights,)."""
        before = self._mean if self._snapshots else weights
        count = self._snapshots + 1
        self._mean = before + (weights - before) / count
        squares = self.variance * self._snapshots + (weights - before) * (weights - self._mean)
        self.variance.copy_(squares / count)

        deviations = torch.cat([self.deviations[1:], (weights - self._mean)[None]])
        self.deviations.copy_(deviations)
        self._snapshots = count

    def finish(self) -> None:
        """Set the weights of the network to the mean of the snapshots, if there are any."""
        if self._snapshots:
            vector_to_parameters(self._mean, self.network.parameters())


def _relative_rate(progress: float) -> float:
    """The learning rate relative to the first one, at a share of the way to the first snapshot."""
    falling = (min(progress, 0.9) - 0.5) / 0.4
    return 1 - (1 - _LAST_RATE) * max(0.0, falling)
