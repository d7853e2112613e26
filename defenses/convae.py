"""ConvAE: "Defense Against Adversarial Attacks using Convolutional Auto-Encoders", section 3.3.

The paper is arXiv:2312.03520.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, interpolate, mse_loss
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from bench.contracts import (
    AttackSpecs,
    DataInfo,
    Defense,
    FitContext,
    Fraction,
    Fractions,
    NonNegativeFloat,
    OmittedAt,
    PositiveFloat,
    PositiveInt,
    Spec,
)
from bench.registry import register_defense
from defenses._bottleneck_autoencoder import BottleneckAutoencoder, Thresholds

_RAMP = 0.3
"""Share of the training through the purifier over which the budget grows linearly."""

_STEEPNESS = 20.0
"""Initial steepness of thresholds: 0.3 away from one, a pixel counts 0.2 % or 99.8 %."""

_Batch = tuple[Tensor, Tensor, Tensor]
"""Attacked images, the clean images that they are restored to, and labels."""


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

    Also ours is the training through the purifier: adversarial training (Madry et al., ICLR 2018,
    arXiv:1706.06083) of the auto-encoder in front of the frozen classifier. The attacks see both,
    and attacked and clean images are restored side by side. The iterative attacks give their worst
    iterates, as in an evaluation: trained on last iterates, a purifier may learn to make the last
    one miss.

    With `code`, the U gives way to a network without skip connections, which is ours too: all that
    reaches the classifier has passed a short code, as in the author's network. `thresholds` before
    it make a soft rounding of the pixels part of the network.

    Attributes:
        attack: specs of the attacks trained against, such as `[fgsm,pgd:steps=10]`, crafted on the
            bare classifier or, with `through`, on the purifier and the classifier.
        eps: budget of these attacks on the [0, 1] scale. With `through` it grows linearly over the
            first 30 % of the training.
        through: whether the attacks go through the purifier under training.
        classifier_weight: weight of the frozen classifier's cross-entropy on the restored images
            beside their squared error, at least 0.
        width: number of channels at full resolution, at least 1; doubled at each of the two
            halvings. With `code`, the number at half the resolution, doubled at a quarter, and
            there is no layer of many channels at full resolution.
        noise: standard deviation of the Gaussian noise added to the latent code in training, at
            least 0.
        steps: number of training batches, at least 1.
        batch_size: number of images in a training batch, at least 1.
        learning_rate: learning rate of Adam, above 0, decayed to zero on a cosine.
        pool: number of training images that are attacked once before training, in whole batches and
            at most all of them; every batch is drawn from these pairs. That is faster with a large
            classifier, and gives the same pairs if the attack draws no randomness. None to attack
            each batch again.
        code: number of values of the latent code of a network without skip connections, at least 1.
            None for the U.
        thresholds: values in [0, 1] that each pixel is compared with before the first layer; the
            comparison is soft, and learned from there on. Only with `code`; None for none.
        steepness: initial steepness of this comparison, above 0; 20 by default. Only with
            `thresholds`.
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
    through: Annotated[bool, OmittedAt(False)] = False
    classifier_weight: Annotated[NonNegativeFloat, OmittedAt(0.0)] = 0.0
    code: PositiveInt | None = None
    thresholds: Fractions | None = None
    steepness: PositiveFloat | None = None

    def __post_init__(self) -> None:
        if self.through and self.pool is not None:
            raise ValueError(
                "parameter pool: its images are attacked before training, and with through=true "
                "the attacked purifier changes at each step"
            )
        if self.thresholds is not None and self.code is None:
            raise ValueError("parameter thresholds: only for the network with a code, as code=128")
        if self.thresholds is not None:
            object.__setattr__(self, "steepness", self.steepness or _STEEPNESS)
        elif self.steepness is not None:
            raise ValueError(f"parameter steepness={self.steepness:g}: only with thresholds")

    def build(self, data: DataInfo) -> nn.Module:
        """The auto-encoder, from images to images of the same shape."""
        if self.code is None:
            return _UNet(data.shape[0], self.width, self.noise)
        return BottleneckAutoencoder(
            data.shape, self.width, self.code, self.noise, self._thresholds(data.shape[0])
        )

    def _thresholds(self, channels: int) -> Thresholds | None:
        """The layer that compares pixels with thresholds; None without thresholds."""
        if self.thresholds is None or self.steepness is None:
            return None
        return Thresholds(channels, self.thresholds, self.steepness)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Minimize the squared error between clean images and reconstructions of attacked ones."""
        optimizer = Adam(module.parameters(), lr=self.learning_rate)
        schedule = CosineAnnealingLR(optimizer, self.steps)

        for adversarial, images, labels in self._attacked_batches(module, context):
            losses = self._losses(module(adversarial), images, labels, context)
            loss = losses["mse"] + self.classifier_weight * losses.get("classification", 0.0)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            context.report(**losses)

    def _losses(
        self, restored: Tensor, images: Tensor, labels: Tensor, context: FitContext
    ) -> dict[str, Tensor]:
        """The losses of a batch by name, without their weights."""
        losses = {"mse": mse_loss(restored, images)}
        if self.classifier_weight > 0:
            losses["classification"] = cross_entropy(
                context.classifier(restored.clamp(0, 1)), labels
            )

        return losses

    def _attacked_batches(self, module: nn.Module, context: FitContext) -> Iterator[_Batch]:
        """The batch of each training step."""
        if self.through:
            yield from self._attacked_through(module, context)
        elif self.pool is None:
            yield from self._attacked(context, self.steps)
        else:
            yield from self._pooled(self.pool, context)

    def _attacked_through(self, module: nn.Module, context: FitContext) -> Iterator[_Batch]:
        """Batches attacked through the purifier, each followed by the same images unattacked."""
        pipeline = _Pipeline(module, context.classifier)

        for step, (images, labels) in enumerate(context.batches(self.batch_size, steps=self.steps)):
            attack = self.attack[step % len(self.attack)]
            budget = self.eps * min(1.0, (step + 1) / (_RAMP * self.steps))
            adversarial = context.adversarial(attack, images, labels, budget, model=pipeline)
            yield torch.cat([adversarial, images]), images.repeat(2, 1, 1, 1), labels.repeat(2)

    def _pooled(self, pool: int, context: FitContext) -> Iterator[_Batch]:
        """Batches drawn from images that are attacked once."""
        whole_batches = -(-pool // self.batch_size)  # Rounded up.
        batches = min(whole_batches, context.steps_in(1, self.batch_size))
        attacked = list(self._attacked(context, max(1, batches)))
        adversarial, images, labels = (torch.cat(parts) for parts in zip(*attacked, strict=True))
        del attacked  # The pool is large: free the second copy before training.

        drawn = min(self.batch_size, len(images))
        for _ in context.steps(self.steps):
            index = torch.randint(len(images), (drawn,), device=images.device)
            yield adversarial[index], images[index], labels[index]

    def _attacked(self, context: FitContext, batches: int) -> Iterator[_Batch]:
        """Training batches attacked on the bare classifier; the attacks take turns."""
        for step, (images, labels) in enumerate(context.batches(self.batch_size, steps=batches)):
            attack = self.attack[step % len(self.attack)]
            yield context.adversarial(attack, images, labels, self.eps), images, labels


class _Pipeline(nn.Sequential):
    """The purifier under training and the classifier, as they will be evaluated.

    Attributes:
        evaluated: see `bench.contracts.Attack.perturb`; iterative attacks give worst iterates.
    """

    evaluated = True


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
