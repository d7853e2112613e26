from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from bench.contracts import DataInfo, Defense, PositiveFloat
from bench.registry import register_defense


@register_defense("my_detector")
@dataclass(frozen=True)
class Detector(Defense):
    """Feature squeezing: an image whose probabilities change under a blur is rejected."""

    threshold: PositiveFloat = 1.2

    def build(self, data: DataInfo) -> nn.Module:
        return _Detector(self.threshold)


class _Detector(nn.Module):
    rejects = True

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def classify(self, images: Tensor, classifier: Callable[[Tensor], Tensor]) -> Tensor:
        logits = classifier(images)
        blurred = avg_pool2d(pad(images, (0, 1, 0, 1), mode="replicate"), 2, stride=1)
        apart = (logits.softmax(1) - classifier(blurred).softmax(1)).abs().sum(1)
        surplus = apart - self.threshold
        return torch.cat([logits, (logits.amax(1) + surplus)[:, None]], dim=1)
