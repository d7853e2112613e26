"""Losses of logits that attacks maximize, one number for each image."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from attacks._queries import Objective

_TINY = 1e-12
"""Least denominator of a ratio of logits, as in the paper's code."""


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest other logit minus the logit of the true class, (n,); positive if misclassified."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(dim=1) - _logit(logits, labels)


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio, (n,): the margin over the gap between first and third logit.

    Croce and Hein 2020 (arXiv:2003.01690), equation 6. With fewer than three classes there is no
    third logit, and the loss is the margin.
    """
    if logits.shape[1] < 3:
        return margin(logits, labels)

    ordered = logits.sort(dim=1, descending=True).values
    return margin(logits, labels) / (ordered[:, 0] - ordered[:, 2] + _TINY)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Targeted difference of logits ratio, (n,), positive where the target is above the true class.

    Croce and Hein 2020 (arXiv:2003.01690), equation 7. With fewer than four classes there is no
    fourth logit, and the loss is the logit of the target minus that of the true class.
    """
    gap = _logit(logits, targets) - _logit(logits, labels)
    if logits.shape[1] < 4:
        return gap

    ordered = logits.sort(dim=1, descending=True).values
    return gap / (ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2 + _TINY)


def is_wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether each image is misclassified, (n,) bool."""
    return logits.argmax(dim=1) != labels


def is_target(logits: Tensor, targets: Tensor) -> Tensor:
    """Whether each image is classified as its target, (n,) bool."""
    return logits.argmax(dim=1) == targets


def _logit(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)


def _negative_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return -cross_entropy(logits, targets, reduction="none")


AWAY = Objective(partial(cross_entropy, reduction="none"), is_wrong)
"""Cross-entropy of the true class, for an attack towards any wrong class."""

TOWARDS = Objective(_negative_cross_entropy, is_target)
"""Negative cross-entropy of a target, for an attack towards that class."""
