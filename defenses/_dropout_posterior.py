"""Monte Carlo dropout: "Dropout as a Bayesian Approximation" (Gal, Ghahramani, ICML 2016).

The paper is arXiv:1506.02142; its form for convolutions is arXiv:1506.02158.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from defenses._posterior import Posterior


class DropoutPosterior(Posterior):
    """A network whose units are dropped at inference too, for each image anew.

    Source: Gal and Ghahramani, arXiv:1506.02158. Different are: dropout in front of some layers in
    place of all, and no weight decay.

    Args:
        network: the auto-encoder, changed in place.
        layers: names of the layers whose inputs are dropped, such as those of the decoder.
        rate: probability that an input is dropped, at least 0 and below 1.
    """

    independent_draws: ClassVar[bool] = True

    def __init__(self, network: nn.Module, layers: Sequence[str], rate: float) -> None:
        super().__init__()
        for layer in layers:
            parent, _, name = layer.rpartition(".")
            dropped = nn.Sequential(_Dropout(rate), network.get_submodule(layer))
            network.get_submodule(parent).register_module(name, dropped)

        self.network = network
        self._rates = [name for name, _ in network.named_buffers() if name.endswith(_Dropout.NAME)]

    def forward(self, images: Tensor) -> Tensor:
        """Purified images, each with masks of its own."""
        purified: Tensor = self.network(images)
        return purified

    def mean(self, images: Tensor) -> Tensor:
        """Purified images with no input dropped, as ordinary dropout has it at inference."""
        none = dict.fromkeys(self._rates, torch.zeros((), device=images.device))
        purified: Tensor = functional_call(self.network, none, (images,))
        return purified


class _Dropout(nn.Module):
    """Dropout in training and at inference, with the kept inputs scaled so that the mean stays.

    The rate is a buffer, so that one call may be given another.
    """

    NAME: ClassVar[str] = "dropout_rate"
    dropout_rate: Tensor

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.register_buffer(self.NAME, torch.tensor(rate), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features, some of which are zero."""
        kept = torch.rand_like(features) >= self.dropout_rate
        return features * kept / (1 - self.dropout_rate)
