"""MagNet's reformer: Meng, Chen, CCS 2017 (arXiv:1705.09064), section 4.3.

The official code is Trevillie/MagNet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu
from torch.optim import Adam

from bench.contracts import (
    DataInfo,
    Defense,
    FitContext,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
)
from bench.registry import register_defense
from defenses._denoising_autoencoder import denoising_loss

Activation = Literal["sigmoid", "relu"]

_ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "relu": relu,
}


@register_defense("reformer")
@dataclass(frozen=True)
class Reformer(Defense):
    """MagNet's reformer: a small auto-encoder trained to remove noise (arXiv:1705.09064).

    Source: Meng, Chen, CCS 2017, section 4.3 and the official code (Trevillie/MagNet). It moves an
    image towards the images that it was trained on, and knows nothing of attacks. The defaults are
    the first of the two auto-encoders for MNIST. `pooling=false` is the second, and
    `width=32:pooling=false:activation=relu:noise=0.025:epochs=400` the one for CIFAR-10.

    The noise is drawn anew for each batch, where the official code draws it once for all epochs.
    The official penalty on activations, of weight 1e-9, is left out. The defense named MagNet is
    this reformer behind detectors, see `detector`.

    Attributes:
        width: number of channels of the hidden maps, at least 1.
        pooling: whether the maps are halved in the middle, between two more convolutions.
        activation: function after each hidden convolution; the last is always a sigmoid.
        noise: standard deviation of the Gaussian noise on training images, at least 0.
        epochs: number of passes over the training images, at least 1.
        batch_size: number of images in a training batch, at least 1.
        learning_rate: learning rate of Adam, above 0.
    """

    width: PositiveInt = 3
    pooling: bool = True
    activation: Activation = "sigmoid"
    noise: NonNegativeFloat = 0.1
    epochs: PositiveInt = 100
    batch_size: PositiveInt = 256
    learning_rate: PositiveFloat = 1e-3

    def build(self, data: DataInfo) -> nn.Module:
        """The auto-encoder, from images to images of the same shape."""
        return _AutoEncoder(
            data.shape[0], self.width, _ACTIVATIONS[self.activation], pooling=self.pooling
        )

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Minimize the squared error between clean images and reconstructions of noisy ones."""
        optimizer = Adam(module.parameters(), lr=self.learning_rate)

        for images, _ in context.batches(self.batch_size, epochs=self.epochs):
            loss = denoising_loss(module, images, self.noise)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            context.report(mse=loss)


class _AutoEncoder(nn.Module):
    """Convolutions of 3x3 pixels, the middle ones at half the size if there is pooling."""

    def __init__(
        self,
        channels: int,
        width: int,
        activation: Callable[[Tensor], Tensor],
        *,
        pooling: bool,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.enter = _conv(channels, width)
        self.middle = nn.ModuleList(_conv(width, width) for _ in range(2 if pooling else 0))
        self.restore = _conv(width, width)
        self.leave = _conv(width, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructed images in [0, 1], same shape."""
        hidden = self.activation(self.enter(images))
        if self.middle:
            hidden = avg_pool2d(hidden, 2, ceil_mode=True, count_include_pad=False)
            for layer in self.middle:
                hidden = self.activation(layer(hidden))
            hidden = interpolate(hidden, size=images.shape[2:])

        return torch.sigmoid(self.leave(self.activation(self.restore(hidden))))


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A convolution that starts as in Keras, which the official code uses.

    With the smaller weights of PyTorch's start the error falls about half as fast.
    """
    layer = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
