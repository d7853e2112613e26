"""VGG-16: Simonyan and Zisserman, ICLR 2015 (arXiv:1409.1556), configuration D, of torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.models import VGG16_BN_Weights, VGG16_Weights, vgg16, vgg16_bn

from bench.contracts import (
    AttackSpec,
    Classifier,
    ClassifierSpec,
    DataInfo,
    FitContext,
    Fraction,
    NonNegativeInt,
    OmittedAt,
    PositiveFloat,
    PositiveInt,
)
from bench.registry import register_classifier
from classifiers._training import check_adversarial, check_distillation, train

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_CONVOLUTIONS = 13
_PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""First bytes of a pickled checkpoint: a zip archive, or pickle protocols 2 to 5."""


@register_classifier("vgg16")
@dataclass(frozen=True)
class VGG16(Classifier):
    """VGG-16 on small images: torchvision's convolutions with a small head (arXiv:1409.1556).

    Images are resized and repeated to three channels, then normalized as for ImageNet. The head is
    smaller than ImageNet's: one hidden layer on globally pooled features. The last feature map of a
    32x32 image is a single pixel, so torchvision's 7x7 head would see 49 copies of it.

    Attributes:
        weights: starting weights of the convolutions: `none` (from scratch), `imagenet`
            (torchvision's, downloaded on first use), or the path of a safetensors file with
            torchvision's parameter names for `features`. Pickled checkpoints are refused.
        frozen: number of convolutions, from the input, that keep their weights (transfer learning),
            0 to 13.
        batch_norm: whether batch normalization follows each convolution.
        size: height and width in pixels to which images are resized, at least 32.
        hidden: number of units of the head's hidden layer, at least 1.
        dropout: probability of dropout in the head, in [0, 1).
        epochs: number of passes over the training images, at least 1.
        batch_size: number of images in a training batch, at least 1.
        learning_rate: learning rate of Adam, above 0, decayed to zero on a cosine.
        autocast: whether training runs in mixed precision (bfloat16 products, float32 weights);
            inference is always in float32. While False, it is no part of the identity, so that
            networks trained before the option existed stay valid. A spec may write `none` for
            False, as version 0.1.0 did.
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

    weights: str = "none"
    frozen: NonNegativeInt = 0
    batch_norm: bool = False
    size: PositiveInt = 32
    hidden: PositiveInt = 512
    dropout: float = 0.5
    epochs: PositiveInt = 8
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 3e-4
    autocast: Annotated[bool, OmittedAt(False)] = False
    adversarial: AttackSpec | None = None
    eps: Fraction | None = None
    distill: ClassifierSpec | None = None
    temperature: Annotated[PositiveFloat, OmittedAt(1.0)] = 1.0

    def __post_init__(self) -> None:
        if self.frozen > _CONVOLUTIONS:
            raise ValueError(
                f"parameter frozen={self.frozen}: there are {_CONVOLUTIONS} convolutions"
            )
        if self.size < 32:
            raise ValueError(
                f"parameter size={self.size}: VGG-16 halves an image five times, so at least 32"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"parameter dropout={self.dropout}: must be in [0, 1)")
        check_adversarial(self.adversarial, self.eps)
        check_distillation(self.distill, self.temperature, self.adversarial)
        for path in self.files():
            _refuse_pickle(path)

    def files(self) -> Sequence[Path]:
        """The checkpoint with the starting weights, if there is one."""
        return () if self.weights in ("none", "imagenet") else (Path(self.weights),)

    def build(self, data: DataInfo) -> nn.Module:
        """The untrained network, from images (n, 1 or 3, height, width) to logits (n, classes)."""
        architecture = vgg16_bn if self.batch_norm else vgg16
        features = architecture(weights=None, init_weights=True).features
        head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(512, self.hidden),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.hidden, data.classes),
        )

        return _ResizedVGG(features, head, self.size)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Load the starting weights, freeze the first convolutions, minimize the cross-entropy."""
        features = module.get_submodule("features")
        self._load_start(features)
        self._freeze(features)

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
            autocast=self.autocast,
        )

    def _freeze(self, features: nn.Module) -> None:
        """Freeze the first convolutions, and the statistics of their batch normalization."""
        seen = 0

        for layer in features.children():
            seen += isinstance(layer, nn.Conv2d)
            if seen > self.frozen:
                break
            if self.frozen:
                layer.requires_grad_(False).eval()

    def _load_start(self, features: nn.Module) -> None:
        if self.weights == "none":
            return
        if self.weights == "imagenet":
            features.load_state_dict(self._imagenet())
            return

        state = load_file(self.weights)
        weights = {
            name.removeprefix("features."): tensor
            for name, tensor in state.items()
            if not name.startswith("classifier.")
        }
        features.load_state_dict(weights)

    def _imagenet(self) -> dict[str, Tensor]:
        """ImageNet weights of the convolutions; torchvision downloads, verifies and caches them."""
        source = VGG16_BN_Weights.IMAGENET1K_V1 if self.batch_norm else VGG16_Weights.IMAGENET1K_V1
        try:
            state = source.get_state_dict(progress=False, check_hash=True)
        except OSError as error:
            folder = Path(torch.hub.get_dir()) / "checkpoints"
            raise OSError(
                f"ImageNet weights cannot be downloaded ({error}): put {Path(source.url).name} "
                f"into {folder}, or use weights=none or weights=FILE.safetensors"
            ) from error

        return {
            name.removeprefix("features."): tensor
            for name, tensor in state.items()
            if name.startswith("features.")
        }


class _ResizedVGG(nn.Module):
    """VGG features and head behind resizing, three channels and ImageNet's normalization."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Module, head: nn.Module, size: int) -> None:
        super().__init__()
        self.features = features
        self.head = head
        self.size = size
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, 1 or 3, height, width) in [0, 1]."""
        images = interpolate(
            images, size=(self.size, self.size), mode="bilinear", align_corners=False
        )
        images = images.expand(-1, 3, -1, -1)
        logits: Tensor = self.head(self.features((images - self.mean) / self.std))
        return logits


def _refuse_pickle(path: Path) -> None:
    """Refuse any file but safetensors, because unpickling runs code that the file contains."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise ValueError(
            f"parameter weights={path}: {error.strerror or error} (or: none, imagenet)"
        ) from None

    # A safetensors file begins with the length of its header, 8 bytes, and the header, in JSON.
    if start[:2] in _PICKLES or start[8:9] != b"{":
        raise ValueError(
            f"parameter weights={path}: not a safetensors file; pickled checkpoints (.pt, .pth) "
            "are refused because loading one runs its code"
        )
