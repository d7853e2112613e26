"""How far several draws of a randomized purifier disagree about an image."""

from __future__ import annotations

import math

from torch import Tensor


def disagreement(logits: Tensor) -> Tensor:
    """How far the draws disagree about each image, in [0, log(draws)], (n,).

    It is the mean divergence of the draws' probabilities from their mean, in nats: the
    Jensen-Shannon divergence, which is the mutual information between prediction and weights (Smith
    and Gal, UAI 2018, arXiv:1803.08533).

    Args:
        logits: logits of the draws, (draws, n, classes).
    """
    each = logits.log_softmax(dim=2)
    mean = each.logsumexp(dim=0) - math.log(len(logits))

    return (each.exp() * (each - mean)).sum(dim=2).mean(dim=0)
