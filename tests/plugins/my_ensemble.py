import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.contracts import Classifier, ClassifierSpecs, DataInfo, FitContext
from bench.registry import register_classifier


@register_classifier("my_ensemble")
@dataclass(frozen=True)
class Ensemble(Classifier):
    """Ensemble of classifiers: the mean of their probabilities."""

    classifiers: ClassifierSpecs

    def build(self, data: DataInfo) -> nn.Module:
        return _Mean(self.member(spec).build(data) for spec in self.classifiers)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        for member, spec in zip(module.members, self.classifiers, strict=True):
            member.load_state_dict(context.build(spec).state_dict())


class _Mean(nn.Module):
    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        each = torch.stack([member(images).log_softmax(dim=1) for member in self.members])
        return each.logsumexp(dim=0) - math.log(len(self.members))
