"""Bayes by backprop: "Weight Uncertainty in Neural Networks" (Blundell et al., ICML 2015).

The paper is arXiv:1505.05424.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn.utils import parameters_to_vector

from defenses._posterior import Gaussian, weights_of

_PRIOR = 0.1
"""Standard deviation of a weight before training, about that of an ordinary initial weight."""

_INITIAL_LOG_STD = -5.0
"""Logarithm of the standard deviation with which each weight starts."""

_ERROR_STD = 0.1
"""Standard deviation of a pixel's error, which weighs the squared error against the divergence."""


class VariationalPosterior(Gaussian):
    """Gaussian of independent weights, whose standard deviations are trained with their means.

    Source: Blundell et al., arXiv:1505.05424, section 3: one draw of the weights for each training
    batch, and the evidence lower bound as the loss. Different are the prior, a single Gaussian, for
    which the divergence is exact (the paper draws it, for a mixture), and the logarithm of the
    standard deviations as parameters in place of the inverse of the softplus.

    Args:
        network: the auto-encoder.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.log_std = nn.Parameter(torch.full_like(weights_of(network), _INITIAL_LOG_STD))

    def deviation(self) -> Tensor:
        """The difference of a draw from the mean, (weights,)."""
        return self.log_std.exp() * torch.randn_like(self.log_std)

    def penalties(self, numbers: int) -> Mapping[str, Tensor]:
        """The divergence from the prior, on the scale of the mean squared error.

        For Gaussian errors of variance v, the negative evidence lower bound times 2 v / `numbers`
        is the mean squared error plus 2 v / `numbers` times the divergence.
        """
        mean = parameters_to_vector(self.network.parameters())
        weights = Normal(mean, self.log_std.exp(), validate_args=False)
        prior = Normal(torch.zeros_like(mean), torch.full_like(mean, _PRIOR), validate_args=False)
        divergence = kl_divergence(weights, prior).sum()

        return {"divergence": 2 * _ERROR_STD**2 * divergence / numbers}
