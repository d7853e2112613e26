"""A small convolutional network, the usual classifier of the purification papers on 28x28 images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from bench.contracts import Classifier, DataInfo, FitContext, PositiveFloat, PositiveInt
from bench.registry import register_classifier


@register_classifier("cnn")
@dataclass(frozen=True)
class CNN(Classifier):
    """Small CNN: two 3x3 convolutions with pooling, one hidden layer; about 99 % on MNIST after five epochs.

    Attributes:
        width: channels of the first convolution; the second has twice as many.
        hidden: units of the hidden layer.
        epochs: passes over the training images.
        batch_size: images in a training batch.
        learning_rate: of Adam, decayed to zero on a cosine.
    """

    width: PositiveInt = 32
    hidden: PositiveInt = 128
    epochs: PositiveInt = 5
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3

    def build(self, data: DataInfo) -> nn.Module:
        """Two blocks of convolution, ReLU and 2x2 max-pooling, then two linear layers; logits (n, classes)."""
        channels, height, width = data.shape
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
        """Minimise the cross-entropy on clean images."""
        optimizer = Adam(module.parameters(), lr=self.learning_rate)
        schedule = CosineAnnealingLR(optimizer, context.steps_in(self.epochs, self.batch_size))
        for images, labels in context.batches(self.batch_size, epochs=self.epochs):
            loss = cross_entropy(module(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            context.report(loss=loss)
