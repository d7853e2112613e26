"""A small network fitted to a purifier, for an attack on what has no useful gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax, mse_loss
from torch.optim import Adam

from bench.geometry import Norm
from bench.stages.crafting import random_noise

FITTED_IMAGES = 1000
"""Number of training images that are purified once; more are left out."""

_STEPS = 300
"""Number of steps of the training."""

_BATCH = 64
"""Number of images in a batch."""

_WIDTH = 24
"""Number of channels between the convolutions."""

_LEARNING_RATE = 2e-3


class LearnedStandIn(nn.Module):
    """Convolutions that add a correction to the image.

    Args:
        channels: number of channels of the images.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, _WIDTH, 5, padding=2),
            nn.GELU(),
            nn.Conv2d(_WIDTH, _WIDTH, 5, padding=2),
            nn.GELU(),
            nn.Conv2d(_WIDTH, channels, 5, padding=2),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images near the purified ones, not clipped, so that every pixel has a gradient."""
        corrected: Tensor = images + self.layers(images)
        return corrected


def learned_stand_in(
    purifier: nn.Module, classifier: nn.Module, images: Tensor, eps: float, norm: Norm
) -> LearnedStandIn:
    """A network fitted to the purifier on noisy images, frozen.

    It imitates the purified images, and what the classifier says of them.

    Args:
        purifier: map from images to images of the same shape.
        classifier: map from images to logits, through which gradients pass.
        images: training images, float32 (n, c, h, w) in [0, 1], at least one.
        eps: size of the noise, on the [0, 1] scale.
        norm: norm of the noise.
    """
    noisy = random_noise(images[:FITTED_IMAGES], min(eps, 1.0) if norm == "linf" else eps, norm)
    with torch.no_grad():
        purified = torch.cat([purifier(batch) for batch in noisy.split(_BATCH)]).clamp(0, 1)
        scores = torch.cat([log_softmax(classifier(batch), 1) for batch in purified.split(_BATCH)])

    stand_in = LearnedStandIn(images.shape[1]).to(images.device)
    optimizer = Adam(stand_in.parameters(), lr=_LEARNING_RATE)
    with torch.enable_grad():
        for _ in range(_STEPS):
            index = torch.randint(len(noisy), (_BATCH,), device=images.device)
            output = stand_in(noisy[index])
            imitated = log_softmax(classifier(output), dim=1)
            loss = mse_loss(output, purified[index]) + 0.01 * kl_div(
                imitated, scores[index], reduction="batchmean", log_target=True
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward(inputs=list(stand_in.parameters()))
            optimizer.step()

    return stand_in.eval().requires_grad_(False)
