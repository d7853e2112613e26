"""PuVAE: Hwang, Park, Jang, Yoon, Cho (arXiv:1903.00585).

The paper is "PuVAE: A Variational Autoencoder to Purify Adversarial Examples".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    mse_loss,
    one_hot,
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
from defenses._conditional_vae import ConditionalVAE, Sizes
from defenses._schedule import linear_decay


@register_defense("puvae")
@dataclass(frozen=True)
class PuVAE(Defense):
    """PuVAE: the reconstruction of a conditional VAE nearest to the input (arXiv:1903.00585).

    The input is encoded and decoded under every class, and the reconstruction with the smallest
    root-mean-square error is kept (section 3.2). No official code is public; sizes and weights are
    those on which independent ports agree.

    The ports disagree on the reconstruction loss and its reduction, so both are parameters. The
    default is the binary cross-entropy summed over pixels, because the squared error through the
    sigmoid collapsed to black images here. The label joins after the convolutions, which are
    therefore computed once for each image; this is exact.

    Attributes:
        latent: dimension of the latent code z, at least 1.
        channels: number of channels of every convolution, at least 1.
        kernel: size in pixels of the encoder's and the decoder's convolutions, odd.
        dilation: dilation of the encoder's convolutions, at least 1.
        stride: stride of the encoder's first two convolutions, 1 or 2. The published 1 takes most
            of the training time.
        hidden: number of units of the encoder's two linear layers, at least 1.
        reconstruction: loss between input and reconstruction: `mse` or `bce`.
        reduction: reduction of that loss over the pixels of an image: `sum` or `mean`.
        reconstruction_weight: weight of the reconstruction loss, at least 0.
        kl_weight: weight of the divergence of z from N(0, I), summed over its dimensions, at least
            0.
        classifier_weight: weight of the frozen classifier's cross-entropy on the reconstruction, at
            least 0.
        input_noise: standard deviation of Gaussian noise added to the encoder's input in training,
            while the target stays clean, at least 0. The published 0 leaves an encoder that is
            itself misled by the perturbation.
        epochs: number of passes over the clean training images, at least 1.
        batch_size: number of images in a training batch, at least 1.
        learning_rate: learning rate of Adam, above 0.
        decay: last part of the training over which the learning rate falls linearly to zero, in
            [0, 1]; the published 0 keeps it constant.
        noise: standard deviation of the latent noise at inference, as a multiple of the
            posterior's, at least 0 (1 in training). The defense is randomized unless it is 0.
    """

    independent_draws: ClassVar[bool] = True
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

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether the latent code has noise."""
        return self.noise > 0

    def build(self, data: DataInfo) -> nn.Module:
        """Encoder, decoder and the choice of the class; images to images of the same shape."""
        sizes = Sizes(
            latent=self.latent,
            channels=self.channels,
            kernel=self.kernel,
            dilation=self.dilation,
            stride=self.stride,
            hidden=self.hidden,
        )
        return ConditionalVAE(data, sizes, self.noise)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Minimize the losses of reconstruction, divergence and classification (equation 5)."""
        if not isinstance(module, ConditionalVAE):
            raise TypeError("fit() needs the module that build() made")

        optimizer = Adam(module.parameters(), lr=self.learning_rate)
        steps = context.steps_in(self.epochs, self.batch_size)
        schedule = linear_decay(optimizer, steps, self.decay)

        for images, labels in context.batches(self.batch_size, epochs=self.epochs):
            losses = self._losses(module, context.classifier, images, labels)
            loss = (
                self.reconstruction_weight * losses["reconstruction"]
                + self.kl_weight * losses["kl"]
                + self.classifier_weight * losses["classification"]
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            context.report(**losses)

    def _losses(
        self, module: ConditionalVAE, classifier: nn.Module, images: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """The losses of a batch by name, without their weights."""
        condition = one_hot(labels, module.classes).float()
        mean, log_variance = module.encode(module.features(self._noisy(images)), condition)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        logits = module.decode(z, condition)
        purified = torch.sigmoid(logits)
        return {
            "reconstruction": self._reconstruction(logits, purified, images),
            "kl": 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean(),
            "classification": cross_entropy(classifier(purified), labels),
        }

    def _noisy(self, images: Tensor) -> Tensor:
        """The images with the noise of the encoder's input, in [0, 1]."""
        if self.input_noise == 0:
            return images
        return (images + self.input_noise * torch.randn_like(images)).clamp(0, 1)

    def _reconstruction(self, logits: Tensor, purified: Tensor, images: Tensor) -> Tensor:
        """The reconstruction loss: the mean over images of the sum or mean over pixels."""
        if self.reconstruction == "bce":
            loss = binary_cross_entropy_with_logits(logits, images)
        else:
            loss = mse_loss(purified, images)
        return loss * images[0].numel() if self.reduction == "sum" else loss
