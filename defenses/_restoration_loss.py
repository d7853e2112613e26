"""Losses of a restored image: how far it is from the clean one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

Loss = Literal["mse", "logits"]


def pixel_distance(restored: Tensor, images: Tensor, classifier: nn.Module) -> Tensor:  # noqa: ARG001
    """Mean squared difference of the pixels."""
    return mse_loss(restored, images)


def logit_distance(restored: Tensor, images: Tensor, classifier: nn.Module) -> Tensor:
    """Mean absolute difference of the classifier's logits.

    What the classifier gets at inference is clamped, so it is clamped here too.
    """
    with torch.no_grad():
        logits = classifier(images)
    return l1_loss(classifier(restored.clamp(0, 1)), logits)


DISTANCES: Mapping[Loss, Callable[[Tensor, Tensor, nn.Module], Tensor]] = {
    "mse": pixel_distance,
    "logits": logit_distance,
}
"""Distances of restored to clean images (n, channels, height, width), at a frozen classifier."""
