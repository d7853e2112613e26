"""ConvAE: "Defense Against Adversarial Attacks using Convolutional Auto-Encoders", section 3.3.

The paper is arXiv:2312.03520.
"""

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
    """ConvAE: convolutional auto-encoder trained to undo assumed attacks (the reproduced paper).

    Section 3.3 of the paper gives the shape: a U, GELU, Gaussian noise on the latent code, and the
    mean squared error between the clean image and the reconstruction of its adversarial version. It
    gives no sizes: widths, noise level, training budget and the skip connections are ours. The
    author's code (github.com/Shreyasi2002/Adversarial_Attack_Defense) is smaller: strided
    convolutions of 8, 16 and 32 channels to ten numbers, N(0, 1) noise on these numbers at
    inference too, and a sigmoid at the end.

    The last layer is linear, and clamped to [0, 1] at inference only: with a sigmoid the network
    tends to collapse to black images. The noise is added in training only, so the trained purifier
    is deterministic. The paper trains on one attack, the default here. A mixture, whose attacks
    take turns batch by batch, is ours.

    Attributes:
        attack: specs of the attacks trained against, such as `[fgsm,pgd:steps=10]`, crafted on the
            bare classifier.
        eps: budget of these attacks on the [0, 1] scale.
        width: number of channels at full resolution, at least 1; doubled at each of the two
            halvings.
        noise: standard deviation of the Gaussian noise added to the latent code in training, at
            least 0.
        steps: number of training batches, at least 1.
        batch_size: number of images in a training batch, at least 1.
        learning_rate: learning rate of Adam, above 0, decayed to zero on a cosine.
        pool: number of training images that are attacked once before training, in whole batches and
            at most all of them; every batch is drawn from these pairs. That is faster with a large
            classifier, and gives the same pairs if the attack draws no randomness. None to attack
            each batch again.
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
        """The auto-encoder, from images to images of the same shape."""
        return _UNet(data.shape[0], self.width, self.noise)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Minimize the squared error between clean images and reconstructions of attacked ones."""
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

        whole_batches = -(-self.pool // self.batch_size)  # Rounded up.
        batches = min(whole_batches, context.steps_in(1, self.batch_size))
        attacked = list(self._attacked(context, max(1, batches)))
        adversarial, images = (torch.cat(parts) for parts in zip(*attacked, strict=True))
        del attacked  # The pool is large: free the second copy before training.

        drawn = min(self.batch_size, len(images))
        for _ in context.steps(self.steps):
            index = torch.randint(len(images), (drawn,), device=images.device)
            yield adversarial[index], images[index]

    def _attacked(self, context: FitContext, batches: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Attacked training batches beside the clean ones; the attacks take turns."""
        for step, (images, labels) in enumerate(context.batches(self.batch_size, steps=batches)):
            attack = self.attack[step % len(self.attack)]
            yield context.adversarial(attack, images, labels, self.eps), images


class _UNet(nn.Module):
    """Two halvings, a noisy latent code, and two doublings with skip connections."""

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
        """Purified images, unclamped in training and in [0, 1] at inference."""
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
    """The small map enlarged to the size of the skip connection, and both side by side."""
    return torch.cat([interpolate(small, size=skip.shape[-2:]), skip], dim=1)
