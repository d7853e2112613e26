"""ResNet-18: He et al., CVPR 2016 (arXiv:1512.03385), with a stem for small images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1

from bench.contracts import (
    AttackSpec,
    Classifier,
    ClassifierSpec,
    DataInfo,
    FitContext,
    Fraction,
    OmittedAt,
    PositiveFloat,
    PositiveInt,
)
from bench.registry import register_classifier
from classifiers._training import check_adversarial, check_distillation, train

_BLOCKS = 2
"""Number of residual blocks in each of the four stages."""


@register_classifier("resnet18")
@dataclass(frozen=True)
class ResNet18(Classifier):
    """ResNet-18 for small images: torchvision's residual blocks behind a stem without downsampling.

    The paper's stem for ImageNet (a 7x7 convolution of stride 2 and a pooling of stride 2) would
    leave a 32x32 image a last feature map of one pixel. As usual for CIFAR, a 3x3 convolution of
    stride 1 takes its place. Batch normalization of the images, without weights, stands for the
    mean and standard deviation of a data set.

    Attributes:
        width: number of channels of the first stage, at least 1; the later stages have 2, 4 and 8
            times as many. The paper has 64.
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

    width: PositiveInt = 64
    epochs: PositiveInt = 10
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
        """The untrained network: images (n, channels, height, width) to logits (n, classes)."""
        return _ResNet(data, self.width)

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


class _ResNet(nn.Module):
    """Four stages of two residual blocks; its parameters have the names of torchvision's."""

    def __init__(self, data: DataInfo, width: int) -> None:
        super().__init__()
        channels = data.shape[0]
        self.normalize = nn.BatchNorm2d(channels, affine=False)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.fc = nn.Linear(8 * width, data.classes)

        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, channels, height, width) in [0, 1]."""
        features = self.relu(self.bn1(self.conv1(self.normalize(images))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = stage(features)

        logits: Tensor = self.fc(features.mean(dim=(2, 3)))
        return logits


def _stage(channels: int, width: int, stride: int) -> nn.Sequential:
    """Residual blocks, the first of which changes the number of channels and the size."""
    shortcut = (
        None
        if stride == 1 and channels == width
        else nn.Sequential(conv1x1(channels, width, stride), nn.BatchNorm2d(width))
    )
    rest = [BasicBlock(width, width) for _ in range(_BLOCKS - 1)]

    return nn.Sequential(BasicBlock(channels, width, stride, shortcut), *rest)
