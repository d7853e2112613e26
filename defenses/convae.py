"""ConvAE: "Defense Against Adversarial Attacks using Convolutional Auto-Encoders", section 3.3.

The paper is arXiv:2312.03520.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam

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
from defenses._attacked_batches import AttackedBatches
from defenses._bayesian_forms import (
    INFERENCE_PARAMETERS,
    Bayes,
    bayesian_purifier,
    check_form,
    draws_at_random,
    draws_for_each_image,
)
from defenses._bayesian_purifier import BayesianPurifier
from defenses._bottleneck_autoencoder import BottleneckAutoencoder, Thresholds
from defenses._convolutional_autoencoder import AuthorNetwork, UNet
from defenses._posterior import Point, Posterior
from defenses._restoration_loss import DISTANCES, Loss

_DECODER = ("up2", "up1", "leave")
"""Names of the layers of the U behind the latent code."""

Architecture = Literal["unet", "author", "bottleneck"]

_CODE = 128
"""Number of values of the code of `arch=bottleneck`, unless it is given."""

_STEEPNESS = 20.0
"""Initial steepness of thresholds: a pixel 0.3 away from one counts as 0.002 or 0.998."""


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
    and attacked and clean images are restored side by side. Iterative attacks give their
    worst iterates, as on any pipeline that is evaluated: trained on last iterates, a purifier may
    learn to make the last one miss.

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

    `arch=bottleneck`, which is ours, is for this training: small, without skip connections, and
    with a soft rounding of the pixels before the first layer if `thresholds` are given.

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
            beside `loss`, at least 0.
        width: number of channels at full resolution, at least 1; doubled at each of the two
            halvings. With `arch=bottleneck` the number at half the resolution, doubled at a
            quarter. The author's network has sizes of its own.
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
        arch: network: `unet`, `author` for that of the author's code, or `bottleneck`.
        code: number of values of the code of `arch=bottleneck`, at least 1; 128 by default. It is
            refused with another network, and so are the following two.
        thresholds: values in [0, 1] that each pixel is compared with before the first layer; the
            comparison is soft, and learned from there on. None for the pixels themselves.
        steepness: initial steepness of this comparison, above 0; 20 by default. Only with
            `thresholds`.
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
    loss: Annotated[Loss, OmittedAt("mse")] = "mse"
    skips: Annotated[bool, OmittedAt(True)] = True
    arch: Annotated[Architecture, OmittedAt("unet")] = "unet"
    code: PositiveInt | None = None
    thresholds: Fractions | None = None
    steepness: PositiveFloat | None = None
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
        if self.arch != "unet" and not self.skips:
            raise ValueError(
                f"parameter skips: the network of arch={self.arch} has none to leave out"
            )
        if self.arch != "unet" and self.bayes is not None:
            raise ValueError(f"parameter bayes: only for arch=unet, and arch is {self.arch}")
        self._check_bottleneck()
        check_form(self)

    def _check_bottleneck(self) -> None:
        """Check what is given for `arch=bottleneck`, and fill in what is not."""
        if self.arch == "bottleneck":
            object.__setattr__(self, "code", self.code or _CODE)
        if self.thresholds is not None and self.steepness is None:
            object.__setattr__(self, "steepness", _STEEPNESS)
        if self.steepness is not None and self.thresholds is None:
            raise ValueError("parameter steepness: only with thresholds, and there are none")
        for name in ("code", "thresholds"):
            if self.arch != "bottleneck" and getattr(self, name) is not None:
                raise ValueError(
                    f"parameter {name}: only for arch=bottleneck, and arch is {self.arch}"
                )

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether weights or noise are drawn; all members of an ensemble are no random choice."""
        return self.arch == "author" or draws_at_random(self)

    @property
    def independent_draws(self) -> bool:  # type: ignore[override]
        """Whether each image of a call gets a draw of its own, as dropout and noise give it."""
        return self.arch == "author" or draws_for_each_image(self)

    def build(self, data: DataInfo) -> nn.Module:
        """The auto-encoder, from images to images of the same shape, or a distribution over it.

        Raises:
            NotApplicable: the images are too small for the author's network.
        """
        if self.bayes is None:
            return self._network(data)
        return bayesian_purifier(self.bayes, self, lambda: self._network(data), _DECODER)

    def _network(self, data: DataInfo) -> nn.Module:
        """The untrained auto-encoder."""
        if self.arch == "author":
            return AuthorNetwork(data.shape)
        if self.code is not None:
            enter = self._thresholds(data.shape[0])
            return BottleneckAutoencoder(data.shape, self.width, self.code, self.noise, enter)
        return UNet(data.shape[0], self.width, self.noise, skips=self.skips)

    def _thresholds(self, channels: int) -> Thresholds | None:
        """The layer that compares pixels with thresholds; None without thresholds."""
        if self.thresholds is None or self.steepness is None:
            return None
        return Thresholds(channels, self.thresholds, self.steepness)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Minimize the distance between clean images and reconstructions of attacked ones."""
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

        batches = enumerate(self._attacked_batches().of(network, context), 1)
        for step, (adversarial, images, labels) in batches:
            losses = self._losses(network(adversarial), images, labels, context)
            loss = losses[self.loss] + self.classifier_weight * losses.get("classification", 0.0)
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
        distance = DISTANCES[self.loss]
        losses: dict[str, Tensor] = {self.loss: distance(restored, images, context.classifier)}
        if self.classifier_weight > 0:
            losses["classification"] = cross_entropy(
                context.classifier(restored.clamp(0, 1)), labels
            )

        return losses

    def _attacked_batches(self) -> AttackedBatches:
        """The batches of the training."""
        return AttackedBatches(
            self.attack, self.eps, self.steps, self.batch_size, self.pool, self.through
        )
