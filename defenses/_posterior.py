"""Distributions over the weights of an auto-encoder, which a Bayesian purifier draws from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler


class Posterior(nn.Module, ABC):
    """Distribution over the weights of an auto-encoder, and what its training adds to that of one.

    It approximates the posterior of a Bayesian network: the weights that suit the training images.
    In training mode it is the function that is trained.

    Attributes:
        independent_draws: whether the images of one call get weights of their own; False, the
            default, where they share one draw.
    """

    independent_draws: ClassVar[bool] = False

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Purified images (n, channels, height, width) under a draw of the weights."""

    @abstractmethod
    def mean(self, images: Tensor) -> Tensor:
        """Purified images under weights in the middle of the distribution, without a draw."""

    def draws(self, images: Tensor, count: int) -> Iterator[Tensor]:
        """Purified images under `count` draws, one after the other."""
        for _ in range(count):
            yield self(images)

    @property
    def networks(self) -> Sequence[nn.Module]:
        """What is trained, one after the other: by default the posterior as a whole."""
        return (self,)

    def schedule(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """Course of the learning rate: by default to zero on a cosine."""
        return CosineAnnealingLR(optimizer, steps)

    def penalties(self, numbers: int) -> Mapping[str, Tensor]:  # noqa: ARG002 - for subclasses
        """Losses by name that are added to the mean squared error; none by default.

        Args:
            numbers: number of pixels of all training images, over whose errors the mean is taken.
        """
        return {}

    def follow(self, step: int, steps: int) -> None:
        """Take note of the weights after a step, counted from 1; by default nothing."""

    def finish(self) -> None:
        """Turn what was noted into the distribution; by default nothing."""


class Point(Posterior):
    """A single network, whose weights are certain."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Purified images, the same at every call."""
        return self.mean(images)

    def mean(self, images: Tensor) -> Tensor:
        """Images purified by the network."""
        purified: Tensor = self.network(images)
        return purified


class Gaussian(Point):
    """A Gaussian distribution; the weights of the network are its mean."""

    @abstractmethod
    def deviation(self) -> Tensor:
        """The difference of a draw from the mean, for all weights in a row, (weights,)."""

    def forward(self, images: Tensor) -> Tensor:
        """Purified images under one draw, which all of them share."""
        drawn = parameters_to_vector(self.network.parameters()) + self.deviation()
        purified: Tensor = functional_call(self.network, self._by_name(drawn), (images,))
        return purified

    def _by_name(self, weights: Tensor) -> dict[str, Tensor]:
        """All weights in a row as the parameters of the network."""
        parameters = dict(self.network.named_parameters())
        parts = weights.split([parameter.numel() for parameter in parameters.values()])

        return {
            name: part.view_as(parameter)
            for (name, parameter), part in zip(parameters.items(), parts, strict=True)
        }


def weights_of(network: nn.Module) -> Tensor:
    """A copy of all weights of a network in a row, (weights,)."""
    with torch.no_grad():
        return parameters_to_vector(network.parameters()).clone()
