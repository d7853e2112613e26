"""PuVAE: Hwang, Park, Jang, Yoon, Cho, "A Variational Autoencoder to Purify Adversarial Examples", arXiv:1903.00585."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    fold,
    mse_loss,
    one_hot,
    relu,
)
from torch.optim import Adam

from bench.contracts import (
    DataInfo,
    Defense,
    FitContext,
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
)
from bench.registry import register_defense
from defenses._schedule import linear_decay


@register_defense("puvae")
@dataclass(frozen=True)
class PuVAE(Defense):
    """Conditional VAE: decode the input under every class, keep the reconstruction nearest to it
    (arXiv:1903.00585).

    No official code is public; sizes and weights are those on which independent ports agree. The
    ports disagree on the reconstruction loss and its reduction, so both are parameters; the default
    is the binary cross-entropy summed over pixels, since the squared error through the sigmoid
    collapsed to black images here. The label joins after the convolutions, so these are computed
    once per image, which is exact.

    Attributes:
        latent: dimension of z.
        channels: of every convolution.
        kernel: size of the encoder's and the decoder's convolutions; odd.
        dilation: of the encoder's convolutions.
        stride: of the encoder's first two convolutions; the published 1 costs most of the training
            time.
        hidden: units of the encoder's two linear layers.
        reconstruction: `mse` or `bce` between input and reconstruction.
        reduction: over the pixels of an image, `sum` or `mean`.
        reconstruction_weight: of the reconstruction loss.
        kl_weight: of the divergence from N(0, I), summed over z.
        classifier_weight: of the frozen classifier's cross-entropy on the reconstruction.
        input_noise: standard deviation of Gaussian noise added to what the encoder sees in
            training, the target staying clean; the published 0 leaves an encoder that is itself
            misled by the perturbation.
        epochs: passes over the clean training images.
        batch_size: images in a training batch.
        learning_rate: of Adam.
        decay: the learning rate falls linearly to zero over this last share of the training; the
            published 0 keeps it.
        noise: standard deviation of the latent noise at inference, in units of the posterior's (1
            in training); a randomised defense unless 0.
    """

    stochastic: ClassVar[bool] = True
    uses_classifier: ClassVar[bool] = True
    inference_parameters: ClassVar[frozenset[str]] = frozenset({"noise"})

    latent: PositiveInt = 32
    channels: PositiveInt = 32
    kernel: PositiveInt = 7
    dilation: PositiveInt = 2
    stride: Annotated[int, Field(ge=1, le=2)] = 1
    hidden: PositiveInt = 1024
    reconstruction: Literal["mse", "bce"] = "bce"
    reduction: Literal["sum", "mean"] = "sum"
    reconstruction_weight: NonNegativeFloat = 0.01
    kl_weight: NonNegativeFloat = 0.1
    classifier_weight: NonNegativeFloat = 10.0
    input_noise: NonNegativeFloat = 0.0
    epochs: PositiveInt = 50
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    decay: Fraction = 0.0
    noise: NonNegativeFloat = 0.1

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise ValueError(f"parameter kernel={self.kernel}: must be odd")

    def build(self, data: DataInfo) -> nn.Module:
        """Encoder, decoder and the choice of the class.

        Images (n, c, h, w) to images of the same shape.
        """
        return _PuVAE(data, self)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Minimise reconstruction + KL + the classifier's cross-entropy on the reconstruction (eq.

        5), clean images.
        """
        if not isinstance(module, _PuVAE):
            raise TypeError("fit() needs the module that build() made")
        optimizer = Adam(module.parameters(), lr=self.learning_rate)
        schedule = linear_decay(
            optimizer, context.steps_in(self.epochs, self.batch_size), self.decay
        )
        for images, labels in context.batches(self.batch_size, epochs=self.epochs):
            condition = one_hot(labels, context.data.classes).float()
            mean, log_variance = module.encode(module.features(self._noisy(images)), condition)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            logits = module.decode(z, condition)
            purified = torch.sigmoid(logits)
            reconstruction = self._reconstruction(logits, purified, images)
            kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
            classification = cross_entropy(context.classifier(purified), labels)
            loss = (
                self.reconstruction_weight * reconstruction
                + self.kl_weight * kl
                + self.classifier_weight * classification
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            context.report(reconstruction=reconstruction, kl=kl, classification=classification)

    def _noisy(self, images: Tensor) -> Tensor:
        """The images with the input noise, in [0, 1]."""
        if self.input_noise == 0:
            return images
        return (images + self.input_noise * torch.randn_like(images)).clamp(0, 1)

    def _reconstruction(self, logits: Tensor, purified: Tensor, images: Tensor) -> Tensor:
        """The reconstruction loss of a batch: mean over images, `reduction` over pixels."""
        if self.reconstruction == "bce":
            loss = binary_cross_entropy_with_logits(logits, images)
        else:
            loss = mse_loss(purified, images)
        return loss * images[0].numel() if self.reduction == "sum" else loss


class _PuVAE(nn.Module):
    """Table 1 of the paper: dilated 7x7 convolutions down to z, transposed ones back."""

    def __init__(self, data: DataInfo, settings: PuVAE) -> None:
        super().__init__()
        inputs, height, width = data.shape
        channels, self.classes = settings.channels, data.classes
        self.latent, self.noise = settings.latent, settings.noise
        self.start = (channels, height // 4, width // 4)
        flat = self.start[0] * self.start[1] * self.start[2]
        kernel, stride = settings.kernel, settings.stride
        pad = settings.dilation * (kernel - 1) // 2
        layers: list[nn.Module] = []
        for maps, step in ((inputs, stride), (channels, stride), (channels, 1)):
            layers += [nn.Conv2d(maps, channels, kernel, step, pad, settings.dilation), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        flattened = channels * -(-height // stride**2) * -(-width // stride**2)
        self.joined = nn.Linear(flattened + self.classes, settings.hidden)
        self.hidden = nn.Linear(settings.hidden, settings.hidden)
        self.mean = nn.Linear(settings.hidden, settings.latent)
        self.log_variance = nn.Linear(settings.hidden, settings.latent)
        self.expand = nn.Sequential(
            nn.Linear(settings.latent + self.classes, 512),
            nn.ReLU(),
            nn.Linear(512, flat),
            nn.ReLU(),
        )
        self.decoder = nn.Sequential(
            nn.Unflatten(1, self.start),
            nn.ConvTranspose2d(channels, channels, kernel, padding=kernel // 2),
            nn.ReLU(inplace=True),
            _doubling(channels, kernel),
            nn.ReLU(inplace=True),
            _doubling(channels, kernel),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(channels, inputs, 3, padding=1),
        )
        self.to(memory_format=torch.channels_last)  # the transposed convolutions take half the time

    def features(self, images: Tensor) -> Tensor:
        """What the first linear layer makes of the images before the label joins: (n, hidden)."""
        flat = self.convolutions(images)
        weight = self.joined.weight[:, : flat.shape[1]]
        return nn.functional.linear(flat, weight, self.joined.bias)

    def encode(self, features: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (n, latent) of z, given features (n, hidden) and one-hot labels (n, classes)."""
        weight = self.joined.weight[:, -self.classes :]
        hidden = relu(self.hidden(relu(features + nn.functional.linear(condition, weight))))
        return self.mean(hidden), self.log_variance(hidden)

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """Logits of pixels (n, c, h, w) of z (n, latent) under one-hot labels (n, classes)."""
        maps = self.decoder[:-1](self.expand(torch.cat([z, condition], dim=1)))
        return _last(maps, self.decoder[-1])

    def forward(self, images: Tensor) -> Tensor:
        """The reconstruction, over all classes, with the smallest root-mean-square error (section
        3.2).

        Its gradient goes through the class that was chosen; the choice itself is piecewise
        constant.
        """
        n, classes = len(images), self.classes
        condition = torch.eye(classes, device=images.device, dtype=images.dtype).repeat(n, 1)
        noise = torch.randn(n * classes, self.latent, device=images.device, dtype=images.dtype)
        features = self.features(images)
        with torch.no_grad():
            repeated = features.repeat_interleave(classes, dim=0)
            candidates = self._purified(repeated, condition, noise).view(
                n, classes, *images.shape[1:]
            )
            error = ((candidates - images[:, None]) ** 2).flatten(2).mean(dim=2)
            chosen = error.argmin(dim=1) + classes * torch.arange(n, device=images.device)
        if torch.is_grad_enabled() and images.requires_grad:
            return self._purified(
                features, condition[chosen], noise[chosen]
            )  # the other classes have no gradient
        return candidates.flatten(0, 1)[chosen]

    def _purified(self, features: Tensor, condition: Tensor, noise: Tensor) -> Tensor:
        """Reconstructions under the given labels, with `self.noise` times the latent noise given."""
        mean, log_variance = self.encode(features, condition)
        z = mean + self.noise * torch.exp(0.5 * log_variance) * noise if self.noise > 0 else mean
        return torch.sigmoid(self.decode(z, condition))


def _last(maps: Tensor, layer: nn.Module) -> Tensor:
    """A transposed 3x3 convolution of stride 1 to few channels, as one product and a sum over
    neighbours.

    The convolution's own kernels fill whole vectors with output channels and take twice the time.
    """
    if not isinstance(layer, nn.ConvTranspose2d) or layer.bias is None:
        raise TypeError("the decoder ends in a transposed convolution with a bias")
    n, channels, height, width = maps.shape
    pixels = maps.permute(0, 2, 3, 1).reshape(n, height * width, channels)
    taps = torch.bmm(layer.weight.flatten(1).mT.expand(n, -1, -1), pixels.mT)
    return fold(taps, (height, width), 3, padding=1) + layer.bias[:, None, None]


def _doubling(channels: int, kernel: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(
        channels, channels, kernel, stride=2, padding=kernel // 2, output_padding=1
    )
