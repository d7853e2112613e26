"""Small convolutional network, the usual classifier of purification papers on small images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import nn

from bench.contracts import (
    AttackSpec,
    Classifier,
    ClassifierSpec,
    DataInfo,
    FitContext,
    Fraction,
    NotApplicable,
    OmittedAt,
    PositiveFloat,
    PositiveInt,
)
from bench.registry import register_classifier
from classifiers._training import check_adversarial, check_distillation, train

_LEAST_SIDE = 4
"""Smallest height and width of an image."""


@register_classifier("cnn")
@dataclass(frozen=True)
class CNN(Classifier):
    """Small CNN: two 3x3 convolutions with pooling, and one hidden layer.

    Its accuracy on MNIST is about 99 % after five epochs.

    Attributes:
        width: number of channels of the first convolution, at least 1; the second has twice as
            many.
        hidden: number of units of the hidden layer, at least 1.
        epochs: number of passes over the training images, at least 1.
        batch_size: number of images in a training batch, at least 1.
        learning_rate: learning rate of Adam, above 0, decayed to zero on a cosine.
        adversarial: spec of an attack for adversarial training (arXiv:1706.06083): its images,
            crafted on the network under training, replace each batch. None for clean images.
        eps: budget of that attack on the [0, 1] scale, given with `adversarial` only; it grows
            linearly over the first 30 % of the training.
        distill: spec of the teacher of defensive distillation (arXiv:1511.04508), whose softmax
            takes the place of the labels: `distill=[cnn:temperature=20]:temperature=20`. It is
            known to fall, see `temperature`. None for the labels.
        temperature: number that the logits are divided by in training, above 0. At inference it is
            1, and above 1 the logits have then grown so large that the gradient of the
            cross-entropy vanishes in float32: attacks that follow it fail, others do not
            (arXiv:1607.04311).
    """

    width: PositiveInt = 32
    hidden: PositiveInt = 128
    epochs: PositiveInt = 5
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    adversarial: AttackSpec | None = None
    eps: Fraction | None = None
    distill: ClassifierSpec | None = None
    temperature: Annotated[PositiveFloat, OmittedAt(1.0)] = 1.0

    def __post_init__(self) -> None:
        check_adversarial(self.adversarial, self.eps)
        check_distillation(self.distill, self.temperature, self.adversarial)

    def build(self, data: DataInfo) -> nn.Module:
        """Two blocks of convolution, ReLU and 2x2 max-pooling, then two linear layers.

        The module maps images (n, channels, height, width) to logits (n, classes). Where a side is
        no multiple of 4, pooling leaves out its last rows or columns.

        Raises:
            NotApplicable: a side of the images is below 4 pixels, of which pooling leaves none.
        """
        channels, height, width = data.shape
        if min(height, width) < _LEAST_SIDE:
            raise NotApplicable(
                f"the classifier cnn halves each side twice: images of {height}x{width} pixels are "
                f"too small, and {_LEAST_SIDE}x{_LEAST_SIDE} the smallest"
            )
        flat = 2 * self.width * (height // 4) * (width // 4)

        return nn.Sequential(
            nn.Conv2d(channels, self.width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(self.width, 2 * self.width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(flat, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, data.classes),
        )

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Minimize the cross-entropy on clean images, or on adversarial ones."""
        train(
            module,
            context,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            adversarial=self.adversarial,
            eps=self.eps,
            distill=self.distill,
            temperature=self.temperature,
        )
