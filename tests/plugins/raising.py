"""Plugins that raise any of the kinds in `kinds.py`, at any stage at which their code runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.contracts import Attack, Classifier, DataInfo, Defense, FitContext, Norm, NotApplicable
from bench.registry import register_attack, register_classifier, register_defense
from tests.plugins.kinds import raise_fault


class _Module(nn.Module):
    """An identity that raises in the method of a stage."""

    def __init__(self, stage: str, kind: str) -> None:
        super().__init__()
        self.stage = stage
        self.kind = kind
        self.weight = nn.Parameter(torch.ones(1))
        if stage == "hook":
            self.register_forward_hook(lambda *_: raise_fault(kind))
        if stage == "load":
            self.register_load_state_dict_post_hook(lambda *_: raise_fault(kind))

    def _at(self, stage: str) -> None:
        if self.stage == stage:
            raise_fault(self.kind)

    def forward(self, images: Tensor) -> Tensor:
        self._at("forward")
        return images * self.weight

    def train(self, mode: bool = True) -> _Module:
        if not mode:
            self._at("eval")
        return super().train(mode)

    def state_dict(self, *arguments: object, **named: object) -> dict[str, object]:
        self._at("state_dict")
        return super().state_dict(*arguments, **named)

    def requires_grad_(self, requires_grad: bool = True) -> _Module:
        self._at("freeze")
        return super().requires_grad_(requires_grad)

    def to(self, *arguments: object, **named: object) -> _Module:
        self._at("to")
        return super().to(*arguments, **named)

    def __getattr__(self, name: str) -> object:
        if name == "generate":
            self._at("attribute")
        return super().__getattr__(name)


@register_defense("raising")
@dataclass(frozen=True)
class Raising(Defense):
    """A defense that raises something at a stage."""

    stage: str = "nowhere"
    kind: str = "plain"

    def __post_init__(self) -> None:
        self._at("configure")

    def _at(self, stage: str) -> None:
        if self.stage == stage:
            raise_fault(self.kind)

    def files(self) -> tuple[Path, ...]:
        self._at("files")
        return ()

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        self._at("stochastic")
        return False

    @property
    def uses_classifier(self) -> bool:  # type: ignore[override]
        self._at("uses_classifier")
        return False

    @property
    def inference_parameters(self) -> frozenset[str]:  # type: ignore[override]
        self._at("inference_parameters")
        return frozenset()

    def build(self, data: DataInfo) -> nn.Module:
        self._at("build")
        return _Module(self.stage, self.kind)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        self._at("fit")
        for _ in context.batches(8, steps=2):
            self._at("fit_batch")


@register_classifier("raising_classifier")
@dataclass(frozen=True)
class RaisingClassifier(Classifier):
    """A classifier that raises something at a stage."""

    stage: str = "nowhere"
    kind: str = "plain"

    def build(self, data: DataInfo) -> nn.Module:
        if self.stage == "build":
            raise_fault(self.kind)
        return nn.Sequential(_Module(self.stage, self.kind), nn.Flatten(), nn.Linear(784, 10))


@register_attack("raising_attack")
@dataclass(frozen=True)
class RaisingAttack(Attack):
    """An attack that raises something at a stage."""

    stage: str = "nowhere"
    kind: str = "plain"

    def _at(self, stage: str) -> None:
        if self.stage == stage:
            raise_fault(self.kind)

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        if self.stage == "skip":
            raise NotApplicable("\x1b[31mnot\nhere" + " ever" * 100_000)
        self._at("perturb")
        return (images + eps).clamp(0, 1)

    @property
    def access(self) -> str:  # type: ignore[override]
        self._at("access")
        return "gradient"

    @property
    def stops_at_first_success(self) -> bool:
        self._at("stops")
        return False

    def ball(self) -> Norm | None:
        self._at("ball")
        return "linf"

    def describe(self, eps: float) -> Mapping[str, float | int | str]:
        self._at("describe")
        return {}
