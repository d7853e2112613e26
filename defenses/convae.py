"""ConvAE: "Defense Against Adversarial Attacks using Convolutional Auto-Encoders", section 3.3.

The paper is arXiv:2312.03520.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss, mse_loss
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from bench.contracts import (
    AttackSpecs,
    DataInfo,
    Defense,
    FitContext,
    Fraction,
    NonNegativeFloat,
    OmittedAt,
    PositiveFloat,
    PositiveInt,
    Spec,
)
from bench.registry import register_defense
from defenses._convolutional_autoencoder import AuthorNetwork, UNet

Loss = Literal["mse", "logits"]
Architecture = Literal["unet", "author"]

_RAMP = 0.3
"""Share of the training through the purifier over which the budget grows linearly."""

_Batch = tuple[Tensor, Tensor, Tensor]
"""Attacked images, the clean images that they are restored to, and labels."""


@register_defense("convae")
@dataclass(frozen=True)
class ConvAE(Defense):
    """ConvAE: convolutional auto-encoder trained to undo assumed attacks (the reproduced paper).

    Section 3.3 of the paper gives the shape: a U, GELU, Gaussian noise on the latent code, and the
    mean squared error between the clean image and the reconstruction of its adversarial version. It
    gives no sizes: widths, noise level, training budget and the skip connections are ours.

    The last layer is linear, and clamped to [0, 1] at inference only: with a sigmoid the network
    tends to collapse to black images. The noise is added in training only, so the trained purifier
    is deterministic. The paper trains on one attack, the default here. A mixture, whose attacks
    take turns batch by batch, is ours.

    Also ours is the training through the purifier: adversarial training (Madry et al., ICLR 2018,
    arXiv:1706.06083) of the auto-encoder in front of the frozen classifier. The attacks see both,
    and attacked and clean images are restored side by side.

    `arch=author` is the network of the author's code (github.com/Shreyasi2002/
    Adversarial_Attack_Defense): strided convolutions of 8, 16 and 32 channels to ten numbers,
    transposed ones back, and a sigmoid at the end. It adds N(0, 1) to the ten numbers at inference
    too, so this purifier is randomized. The author's scripts leave batch normalization in training
    mode, so that there an image depends on its batch.

    `loss=logits` is the loss of HGD, the logits guided denoiser of Liao et al., CVPR 2018
    (arXiv:1712.02976, section 3; github.com/lfz/Guided-Denoise): a restored image need not look
    like the clean one, but must mean the same to the classifier. HGD's own network is larger, adds
    its output to the attacked image, and is clamped nowhere.

    `skips=false` asks whether the U or the latent code purifies: all that is left of the image is
    then in the code. That has about `width / 4` numbers for each pixel, so it is a bottleneck only
    where `width` is below 4.

    Attributes:
        attack: specs of the attacks trained against, such as `[fgsm,pgd:steps=10]`, crafted on the
            bare classifier or, with `through`, on the purifier and the classifier.
        eps: budget of these attacks on the [0, 1] scale. With `through` it grows linearly over the
            first 30 % of the training.
        through: whether the attacks go through the purifier under training.
        classifier_weight: weight of the frozen classifier's cross-entropy on the restored images
            beside `loss`, at least 0.
        width: number of channels at full resolution, at least 1; doubled at each of the two
            halvings. The author's network has sizes of its own.
        noise: standard deviation of the Gaussian noise added to the latent code in training, at
            least 0. The author's network has noise of its own.
        steps: number of training batches, at least 1.
        batch_size: number of images in a training batch, at least 1.
        learning_rate: learning rate of Adam, above 0, decayed to zero on a cosine.
        pool: number of training images that are attacked once before training, in whole batches and
            at most all of them; every batch is drawn from these pairs. That is faster with a large
            classifier, and gives the same pairs if the attack draws no randomness. None to attack
            each batch again.
        loss: distance of restored and clean images: `mse`, the mean squared difference of their
            pixels, or `logits`, the mean absolute difference of their logits at the frozen
            classifier.
        skips: whether skip connections lead around the latent code of the U.
        arch: network: `unet`, or `author` for that of the author's code.
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
    loss: Annotated[Loss, OmittedAt("mse")] = "mse"
    skips: Annotated[bool, OmittedAt(True)] = True
    arch: Annotated[Architecture, OmittedAt("unet")] = "unet"

    def __post_init__(self) -> None:
        if self.through and self.pool is not None:
            raise ValueError(
                "parameter pool: its images are attacked before training, and with through=true "
                "the attacked purifier changes at each step"
            )
        if self.arch == "author" and not self.skips:
            raise ValueError("parameter skips: the network of arch=author has none to leave out")

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether the network draws noise at inference."""
        return self.arch == "author"

    @property
    def independent_draws(self) -> bool:  # type: ignore[override]
        """Whether the network draws noise at inference, which differs from image to image."""
        return self.stochastic

    def build(self, data: DataInfo) -> nn.Module:
        """The auto-encoder, from images to images of the same shape.

        Raises:
            NotApplicable: the images are too small for the author's network.
        """
        if self.arch == "author":
            return AuthorNetwork(data.shape)
        return UNet(data.shape[0], self.width, self.noise, skips=self.skips)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Minimize the distance between clean images and reconstructions of attacked ones."""
        optimizer = Adam(module.parameters(), lr=self.learning_rate)
        schedule = CosineAnnealingLR(optimizer, self.steps)

        for adversarial, images, labels in self._attacked_batches(module, context):
            losses = self._losses(module(adversarial), images, labels, context)
            loss = losses[self.loss] + self.classifier_weight * losses.get("classification", 0.0)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            context.report(**losses)

    def _losses(
        self, restored: Tensor, images: Tensor, labels: Tensor, context: FitContext
    ) -> dict[str, Tensor]:
        """The losses of a batch by name, without their weights."""
        distance = _DISTANCES[self.loss]
        losses: dict[str, Tensor] = {self.loss: distance(restored, images, context.classifier)}
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
        pipeline = nn.Sequential(module, context.classifier)

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


def _pixel_distance(restored: Tensor, images: Tensor, classifier: nn.Module) -> Tensor:  # noqa: ARG001
    """Mean squared difference of the pixels."""
    return mse_loss(restored, images)


def _logit_distance(restored: Tensor, images: Tensor, classifier: nn.Module) -> Tensor:
    """Mean absolute difference of the classifier's logits.

    What the classifier gets at inference is clamped, so it is clamped here too.
    """
    with torch.no_grad():
        logits = classifier(images)
    return l1_loss(classifier(restored.clamp(0, 1)), logits)


_DISTANCES: Mapping[Loss, Callable[[Tensor, Tensor, nn.Module], Tensor]] = {
    "mse": _pixel_distance,
    "logits": _logit_distance,
}
"""Distances of restored to clean images (n, channels, height, width), at a frozen classifier."""
