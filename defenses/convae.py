"""ConvAE: "Defense Against Adversarial Attacks using Convolutional Auto-Encoders", section 3.3.

The paper is arXiv:2312.03520.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, interpolate, mse_loss
from torch.optim import Adam

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
from defenses._bayesian_forms import (
    INFERENCE_PARAMETERS,
    Bayes,
    bayesian_purifier,
    check_form,
    draws_at_random,
    draws_for_each_image,
)
from defenses._bayesian_purifier import BayesianPurifier
from defenses._posterior import Point, Posterior

_DECODER = ("up2", "up1", "leave")
"""Names of the layers behind the latent code."""

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
    and attacked and clean images are restored side by side.

    With `bayes` the weights are drawn from a distribution at each call, the future work of the
    paper: dropout in the decoder (Gal, Ghahramani 2016, arXiv:1506.02142), a deep ensemble
    (Lakshminarayanan et al. 2017, arXiv:1612.01474), SWAG (Maddox et al. 2019, arXiv:1902.02476)
    or a variational Gaussian (Blundell et al. 2015, arXiv:1505.05424). Of several draws the
    classifier's logits are averaged. `defenses/_*_posterior.py` say what differs from the sources.

    Attributes:
        attack: specs of the attacks trained against, such as `[fgsm,pgd:steps=10]`, crafted on the
            bare classifier or, with `through`, on the purifier and the classifier.
        eps: budget of these attacks on the [0, 1] scale. With `through` it grows linearly over the
            first 30 % of the training.
        through: whether the attacks go through the purifier under training.
        classifier_weight: weight of the frozen classifier's cross-entropy on the restored images
            beside their squared error, at least 0.
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
        bayes: distribution over the weights; None for a single network.
        dropout_rate: with `dropout`, the probability that an input of a decoder's layer is dropped.
        ensemble_size: with `ensemble`, the number of networks, at least 2; each is trained in full.
        rank: with `swag`, the number of snapshots whose deviations are kept, at least 2.
        draws: number of draws for each image whose logits are averaged, of an ensemble at most its
            members; with several, the outcome tells how far they disagree. None for a purifier of
            one draw, which does not decide and which `vote` may ask.
        control: whether plain Gaussian noise of the same amount replaces the draws of the weights.
        reject: disagreement of the draws, in nats, above which an image is rejected, so that an
            attacker has to keep it low; None to reject none.
    """

    uses_classifier: ClassVar[bool] = True
    inference_parameters: ClassVar[frozenset[str]] = INFERENCE_PARAMETERS

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
    bayes: Bayes | None = None
    dropout_rate: Annotated[float, Field(ge=0, lt=1), OmittedAt(0.1)] = 0.1
    ensemble_size: Annotated[int, Field(ge=2), OmittedAt(5)] = 5
    rank: Annotated[int, Field(ge=2), OmittedAt(20)] = 20
    draws: PositiveInt | None = None
    control: Annotated[bool, OmittedAt(False)] = False
    reject: PositiveFloat | None = None

    def __post_init__(self) -> None:
        if self.through and self.pool is not None:
            raise ValueError(
                "parameter pool: its images are attacked before training, and with through=true "
                "the attacked purifier changes at each step"
            )
        check_form(self)

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether weights or noise are drawn; all members of an ensemble are no random choice."""
        return draws_at_random(self)

    @property
    def independent_draws(self) -> bool:  # type: ignore[override]
        """Whether each image of a call gets a draw of its own, as dropout and noise give it."""
        return draws_for_each_image(self)

    def build(self, data: DataInfo) -> nn.Module:
        """The auto-encoder, from images to images of the same shape, or a distribution over it."""

        def network() -> nn.Module:
            return _UNet(data.shape[0], self.width, self.noise)

        if self.bayes is None:
            return network()

        return bayesian_purifier(self.bayes, self, network, _DECODER)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Minimize the squared error between clean images and reconstructions of attacked ones."""
        bayesian = module if isinstance(module, BayesianPurifier) else None
        posterior = Point(module) if bayesian is None else bayesian.posterior

        for network in posterior.networks:
            attacked = self._train(network, posterior, context)
        posterior.finish()

        if bayesian is not None:
            bayesian.measure(attacked)

    def _train(self, network: nn.Module, posterior: Posterior, context: FitContext) -> Tensor:
        """Train a network, and return the attacked images of the last batch."""
        optimizer = Adam(network.parameters(), lr=self.learning_rate)
        schedule = posterior.schedule(optimizer, self.steps)
        numbers = context.steps_in(1, 1) * math.prod(context.data.shape)

        batches = enumerate(self._attacked_batches(network, context), 1)
        for step, (adversarial, images, labels) in batches:
            losses = self._losses(network(adversarial), images, labels, context)
            loss = losses["mse"] + self.classifier_weight * losses.get("classification", 0.0)
            penalties = posterior.penalties(numbers)
            loss = loss + sum(penalties.values())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            posterior.follow(step, self.steps)
            context.report(**losses, **penalties)

        return adversarial

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
