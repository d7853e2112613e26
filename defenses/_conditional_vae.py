"""PuVAE's network: a conditional VAE that reconstructs an image under every class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, relu

from bench.contracts import DataInfo, Mixture, StandIn
from defenses._transposed_convolution import bias_of, doubling, to_few_channels

_TEMPERATURE = 2e-3
"""Temperature of the mixture of classes, on the scale of the mean squared error of a pixel.

A smaller or larger one left more accuracy on MNIST under APGD at 0.1.
"""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the network: parameters of `PuVAE`, which describes them."""

    latent: int
    channels: int
    kernel: int
    dilation: int
    stride: int
    hidden: int


class ConditionalVAE(nn.Module):
    """Encoder and decoder of PuVAE, and its choice among the reconstructions under all classes.

    Table 1 of the paper: dilated 7x7 convolutions down to z, transposed ones back. The decoder
    doubles a quarter of the image twice. Where a side is no multiple of four, the quarter is
    rounded up, and what exceeds the image is cropped before the last layer.

    Attributes:
        classes: number of classes.
        latent: dimension of the latent code z.
        size: height and width of the images.
        noise: standard deviation of the latent noise, as a multiple of the posterior's.
    """

    def __init__(self, data: DataInfo, sizes: Sizes, noise: float) -> None:
        super().__init__()
        inputs, height, width = data.shape
        channels = sizes.channels
        kernel = sizes.kernel
        self.classes = data.classes
        self.latent = sizes.latent
        self.noise = noise

        self.convolutions = nn.Sequential(*_convolutions(inputs, sizes), nn.Flatten())
        flattened = channels * -(-height // sizes.stride**2) * -(-width // sizes.stride**2)
        self.joined = nn.Linear(flattened + self.classes, sizes.hidden)
        self.hidden = nn.Linear(sizes.hidden, sizes.hidden)
        self.mean = nn.Linear(sizes.hidden, sizes.latent)
        self.log_variance = nn.Linear(sizes.hidden, sizes.latent)

        self.size = (height, width)
        self.start = (channels, -(-height // 4), -(-width // 4))  # rounded up
        flat = self.start[0] * self.start[1] * self.start[2]
        self.expand = nn.Sequential(
            nn.Linear(sizes.latent + self.classes, 512),
            nn.ReLU(),
            nn.Linear(512, flat),
            nn.ReLU(),
        )
        self.decoder = nn.Sequential(
            nn.Unflatten(1, self.start),
            nn.ConvTranspose2d(channels, channels, kernel, padding=kernel // 2),
            nn.ReLU(inplace=True),
            doubling(channels, channels, kernel),
            nn.ReLU(inplace=True),
            doubling(channels, channels, kernel),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(channels, inputs, 3, padding=1),
        )
        # In this layout the transposed convolutions take half the time.
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """The image's share (n, hidden) of the first linear layer, before the label joins."""
        flat = self.convolutions(images)
        weight = self.joined.weight[:, : flat.shape[1]]
        return nn.functional.linear(flat, weight, self.joined.bias)

    def encode(self, features: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (n, latent) of z.

        Args:
            features: result of `features`, (n, hidden).
            condition: one-hot labels (n, classes).
        """
        weight = self.joined.weight[:, -self.classes :]
        hidden = relu(self.hidden(relu(features + nn.functional.linear(condition, weight))))
        return self.mean(hidden), self.log_variance(hidden)

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """Logits of pixels (n, channels, height, width).

        Args:
            z: latent codes (n, latent).
            condition: one-hot labels (n, classes).
        """
        doubled = self.decoder[:-1](self.expand(torch.cat([z, condition], dim=1)))
        height, width = self.size
        maps = doubled[..., :height, :width]
        pixels = maps.permute(0, 2, 3, 1).flatten(1, 2)

        last = self.decoder[-1]
        if not isinstance(last, nn.ConvTranspose2d):
            raise TypeError("the decoder must end in a transposed convolution")
        return to_few_channels(pixels, last.weight, bias_of(last), self.size, stride=1)

    def forward(self, images: Tensor) -> Tensor:
        """The reconstructions with the smallest error over all classes, same shape.

        The gradient goes through the chosen class; the choice itself is piecewise constant.
        """
        features = self.features(images)
        condition, noise = self._conditions(images)

        with torch.no_grad():
            candidates, error = self._candidates(images, features, condition, noise)
            first = self.classes * torch.arange(len(images), device=images.device)
            chosen = error.argmin(dim=1) + first

        # The other classes have no gradient, so only the chosen one is computed again.
        if torch.is_grad_enabled() and images.requires_grad:
            return self._purified(features, condition[chosen], noise[chosen])
        return candidates.flatten(0, 1)[chosen]

    def stand_ins(self) -> Mapping[str, StandIn]:
        """The softmax over the classes in place of the smallest error.

        The exact gradient through the chosen class says nothing about the other classes, and so
        misleads. The mixture's says how each class would become the nearest.
        """
        return {"mixture": StandIn(self._mixture)}

    def _mixture(self, images: Tensor) -> Mixture:
        """All reconstructions, with the probabilities softmax(-error / temperature)."""
        condition, noise = self._conditions(images)
        candidates, error = self._candidates(images, self.features(images), condition, noise)
        return Mixture(candidates, log_softmax(-error / _TEMPERATURE, dim=1))

    def _conditions(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """All one-hot labels (n * classes, classes), and a draw of noise (n * classes, latent)."""
        n, classes = len(images), self.classes
        device, dtype = images.device, images.dtype
        condition = torch.eye(classes, device=device, dtype=dtype).repeat(n, 1)
        return condition, torch.randn(n * classes, self.latent, device=device, dtype=dtype)

    def _candidates(
        self, images: Tensor, features: Tensor, condition: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Reconstructions (n, classes, channels, height, width) and their errors (n, classes).

        An error is the mean squared difference to the image.
        """
        repeated = features.repeat_interleave(self.classes, dim=0)
        purified = self._purified(repeated, condition, noise)
        candidates = purified.view(len(images), self.classes, *images.shape[1:])
        return candidates, ((candidates - images[:, None]) ** 2).flatten(2).mean(dim=2)

    def _purified(self, features: Tensor, condition: Tensor, noise: Tensor) -> Tensor:
        """Reconstructions under the given labels and draws of the latent noise (n, latent)."""
        mean, log_variance = self.encode(features, condition)
        z = mean + self.noise * torch.exp(0.5 * log_variance) * noise if self.noise > 0 else mean
        return torch.sigmoid(self.decode(z, condition))


def _convolutions(inputs: int, sizes: Sizes) -> list[nn.Module]:
    """The encoder's three dilated convolutions, each followed by a ReLU."""
    channels, kernel, dilation = sizes.channels, sizes.kernel, sizes.dilation
    padding = dilation * (kernel - 1) // 2
    layers: list[nn.Module] = []
    for maps, stride in ((inputs, sizes.stride), (channels, sizes.stride), (channels, 1)):
        layers += [nn.Conv2d(maps, channels, kernel, stride, padding, dilation), nn.ReLU()]
    return layers
