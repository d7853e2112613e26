"""ConvAE: "Defense Against Adversarial Attacks using Convolutional Auto-Encoders", section 3.3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, mse_loss
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from bench.contracts import (
    AttackSpecs,
    DataInfo,
    Defense,
    FitContext,
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Spec,
)
from bench.registry import register_defense


@register_defense("convae")
@dataclass(frozen=True)
class ConvAE(Defense):
    """U-shaped convolutional auto-encoder trained to undo assumed attacks (the reproduced paper,
    section 3.3).

    The paper gives the shape (U, GELU, Gaussian noise on the latent code, mean squared error
    between the clean image and the reconstruction of its adversarial version) but no sizes: widths,
    noise level and training budget are ours, as are the skip connections. (The author's code,
    github.com/Shreyasi2002/Adversarial_Attack_Defense, is a smaller one: strided convolutions of 8,
    16 and 32 channels to ten numbers, N(0, 1) noise on these at inference too, and a sigmoid at the
    end.) The last layer is linear and clamped to [0, 1] at inference only: with a sigmoid the
    network tends to collapse to black images. The noise is added in training only, so the trained
    purifier is deterministic. The paper trains on one attack, the default here; a mixture, whose
    attacks take turns batch by batch, is ours.

    Attributes:
        attack: specs of the attacks trained against, such as `[fgsm,pgd:steps=10]`, crafted on the
            bare classifier.
        eps: their budget on the [0, 1] scale.
        width: channels at full resolution; doubled at each of the two halvings.
        noise: standard deviation of the Gaussian noise added to the latent code in training.
        steps: training batches.
        batch_size: images in a training batch.
        learning_rate: of Adam, decayed to zero on a cosine.
        pool: attack so many training images, in whole batches, once before training, and draw every
            batch from these pairs; at most all of them. Faster where the classifier is large, and
            the same pairs where the attack draws no randomness. None to attack each batch afresh.
    """

    uses_classifier: ClassVar[bool] = True

    attack: AttackSpecs = (Spec("fgsm"),)
    eps: Fraction = 0.3
    width: PositiveInt = 24
    noise: NonNegativeFloat = 0.1
    steps: PositiveInt = 2000
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    pool: PositiveInt | None = None

    def build(self, data: DataInfo) -> nn.Module:
        """The auto-encoder; images (n, c, h, w) to images of the same shape."""
        return _UNet(data.shape[0], self.width, self.noise)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Minimise the squared error between clean images and the reconstructions of their adversarial versions."""
        optimizer = Adam(module.parameters(), lr=self.learning_rate)
        schedule = CosineAnnealingLR(optimizer, self.steps)
        for adversarial, images in self._pairs(context):
            loss = mse_loss(module(adversarial), images)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            context.report(mse=loss)

    def _pairs(self, context: FitContext) -> Iterator[tuple[Tensor, Tensor]]:
        """A batch of adversarial images and the clean ones for each training step."""
        if self.pool is None:
            yield from self._attacked(context, self.steps)
            return
        batches = min(-(-self.pool // self.batch_size), context.steps_in(1, self.batch_size))
        attacked = list(self._attacked(context, max(1, batches)))
        adversarial, images = (torch.cat(parts) for parts in zip(*attacked, strict=True))
        del attacked
        for _ in context.steps(self.steps):
            chosen = torch.randint(
                len(images), (min(self.batch_size, len(images)),), device=images.device
            )
            yield adversarial[chosen], images[chosen]

    def _attacked(self, context: FitContext, batches: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Training batches, attacked on the classifier by one attack after the other."""
        for step, (images, labels) in enumerate(context.batches(self.batch_size, steps=batches)):
            yield (
                context.adversarial(self.attack[step % len(self.attack)], images, labels, self.eps),
                images,
            )


class _UNet(nn.Module):
    """Two halvings, a noisy latent code, two doublings with skip connections."""

    def __init__(self, channels: int, width: int, noise: float) -> None:
        super().__init__()
        self.noise = noise
        self.enter = _conv(channels, width)
        self.down1 = _conv(width, 2 * width, stride=2)
        self.down2 = _conv(2 * width, 4 * width, stride=2)
        self.latent = _conv(4 * width, 4 * width)
        self.up2 = _conv(4 * width + 2 * width, 2 * width)
        self.up1 = _conv(2 * width + width, width)
        self.leave = _conv(width, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Purified images; in training unclamped, at inference in [0, 1]."""
        full = gelu(self.enter(images))
        half = gelu(self.down1(full))
        code = gelu(self.latent(gelu(self.down2(half))))
        if self.training:
            code = code + self.noise * torch.randn_like(code)
        half = gelu(self.up2(_join(code, half)))
        full = gelu(self.up1(_join(half, full)))
        output: Tensor = self.leave(full)
        return output if self.training else output.clamp(0, 1)


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


def _join(small: Tensor, skip: Tensor) -> Tensor:
    """Bring the small map to the skip's size and put both side by side."""
    return torch.cat([interpolate(small, size=skip.shape[-2:]), skip], dim=1)
