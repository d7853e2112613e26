"""The conformance suite on defenses whose stand-ins, draws or decisions break their contract."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from bench.conformance import CHECKS, Subject
from bench.contracts import DataInfo, Defense, FitContext, Mixture, StandIn
from bench.errors import PluginFault
from bench.plugins.configured import Configured, configure
from bench.plugins.faults import plugin_call
from bench.registry import DEFENSES
from bench.spec import Spec


def reasons(plugin: Defense) -> list[str]:
    """The reasons for which a defense fails the suite."""
    subject = Subject("defense", Configured(Spec("tried"), plugin, {}, {}))
    return [reason for check in list(CHECKS["defense"])[3:] if (reason := _reason(check, subject))]


def _reason(check: Callable[[Subject], None], subject: Subject) -> str:
    try:
        with plugin_call(subject.description):
            check(subject)
    except PluginFault as fault:
        return str(fault)
    return ""


class _Same(nn.Module):
    """The images, with the methods that a test gives."""

    def __init__(self, methods: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__()
        for name, method in methods.items():
            setattr(self, name, method)

    def forward(self, images: Tensor) -> Tensor:
        return images


@dataclass(frozen=True)
class Offering(Defense):
    """A defense that changes nothing, with further methods of its module."""

    methods: Any

    def build(self, data: DataInfo) -> nn.Module:
        return _Same(self.methods)


def with_stand_ins(stand_ins: Any) -> Offering:
    return Offering({"stand_ins": lambda: stand_ins})


def mixture(images: Tensor, *, candidates: int = 2, weight: float = 0.5) -> Mixture:
    """Candidates that are all the images, of equal weights."""
    repeated = images[:, None].repeat(1, candidates, 1, 1, 1)
    return Mixture(repeated, torch.full((len(images), candidates), weight).log())


@pytest.mark.parametrize(
    "stand_in",
    [
        StandIn(lambda images: images),
        StandIn(lambda images: 0.9 * images + 0.05, backward_only=True),
        StandIn(mixture),
        StandIn(lambda images: mixture(images, candidates=4, weight=0.25)),
    ],
)
def test_a_sound_stand_in_passes(stand_in: StandIn) -> None:
    assert reasons(with_stand_ins({"sound": stand_in})) == []
    assert reasons(with_stand_ins({})) == []


@pytest.mark.parametrize(
    ("stand_ins", "reason"),
    [
        ([StandIn(lambda images: images)], "list instead of a mapping"),
        ({"two words": StandIn(lambda images: images)}, "has the name 'two words'"),
        ({1: StandIn(lambda images: images)}, "has the name 1"),
        ({"a": lambda images: images}, "stand-in a: it is not a StandIn"),
        ({"a": StandIn(3)}, "stand-in a: it is not a StandIn with a function"),  # type: ignore[arg-type]
        ({"a": StandIn(lambda x: x, backward_only=1)}, "backward_only is not True or False"),  # type: ignore[arg-type]
        ({"a": StandIn(lambda images: None)}, "NoneType, neither images nor a Mixture"),  # type: ignore[arg-type, return-value]
        ({"a": StandIn(lambda images: images[..., 1:])}, "returned shape"),
        ({"a": StandIn(lambda images: 2 * images)}, r"outside \[0, 1\]"),
        ({"a": StandIn(lambda images: images.double())}, "returned torch.float64"),
        ({"a": StandIn(lambda images: images * float("nan"))}, "NaN or infinite values"),
        ({"a": StandIn(lambda images: 1 - images)}, "differs from the purifier by"),
        ({"a": StandIn(lambda images: images.detach())}, "cuts the graph"),
        ({"a": StandIn(lambda images: images.detach() + 0 * images)}, "a gradient of zero"),
        ({"a": StandIn(lambda images: images.sqrt() ** 2)}, "a gradient that is NaN or infinite"),
        ({"a": StandIn(mixture, backward_only=True)}, "a mixture with backward_only = True"),
        ({"a": StandIn(lambda x: mixture(x, weight=0.4))}, "sum differs from 1 by 0.2"),
        ({"a": StandIn(lambda x: Mixture(x, mixture(x).log_weights))}, "log_weights of shape"),
        ({"a": StandIn(lambda x: Mixture(mixture(x).images * 2, mixture(x)[1]))}, r"outside"),
        ({"a": StandIn(lambda images: 1 / 0)}, "raised ZeroDivisionError"),  # type: ignore[arg-type, return-value]
    ],
)
def test_a_broken_stand_in_is_caught(stand_ins: Any, reason: str) -> None:
    found = reasons(with_stand_ins(stand_ins))
    assert any(re.search(reason, text) for text in found), found


def _unseeded(images: Tensor, classifier: nn.Module) -> Tensor:
    generator = torch.Generator()
    generator.seed()
    logits: Tensor = classifier(images)
    return logits + torch.rand(logits.shape, generator=generator)


@pytest.mark.parametrize(
    ("classify", "reason"),
    [
        (lambda images, classifier: classifier(images), ""),
        (lambda images, classifier: classifier(images)[:, 1:], "returned shape"),
        (lambda images, classifier: classifier(images).argmax(1), "returned shape"),
        (lambda images, classifier: classifier(images) * float("inf"), "NaN or infinite"),
        (lambda images, classifier: classifier(images.mul_(0.5)), "changes its input images"),
        (_unseeded, "differs under the same seed"),
    ],
)
def test_a_decision_is_checked_as_logits(classify: Any, reason: str) -> None:
    found = reasons(Offering({"classify": classify}))
    assert any(reason in text for text in found) if reason else found == []


@dataclass(frozen=True)
class Shifting(Defense):
    """A defense that draws one number, for each image or for all images of a call."""

    stochastic: ClassVar[bool] = True
    independent_draws: ClassVar[bool] = True
    each: bool = True

    def build(self, data: DataInfo) -> nn.Module:
        return _Shift(self.each)


class _Shift(nn.Module):
    def __init__(self, each: bool) -> None:
        super().__init__()
        self.each = each

    def forward(self, images: Tensor) -> Tensor:
        shape = (len(images) if self.each else 1, 1, 1, 1)
        return (images + 0.2 * torch.rand(shape, device=images.device)).clamp(0, 1)


def test_a_draw_that_a_call_shares_is_not_declared_as_independent() -> None:
    assert reasons(Shifting(each=True)) == []
    assert any("share their draw" in reason for reason in reasons(Shifting(each=False)))


@pytest.mark.parametrize("name", ["puvae", "bitdepth", "jpeg", "defensegan", "soap", "vote"])
def test_the_built_in_purifiers_without_a_useful_gradient_offer_a_stand_in(name: str) -> None:
    module: Any = configure(DEFENSES, name).plugin.build(DataInfo((1, 28, 28), 10))
    assert module.stand_ins()


@dataclass(frozen=True)
class Spoiling(Defense):
    """A defense whose training changes the classifier in place."""

    uses_classifier: ClassVar[bool] = True

    def build(self, data: DataInfo) -> nn.Module:
        return nn.Identity()

    def fit(self, module: nn.Module, context: FitContext) -> None:
        for weight in context.classifier.parameters():
            weight.data.add_(0.01)


def test_a_training_that_changes_the_classifier_is_caught() -> None:
    found = reasons(Spoiling())
    assert any("fit() changed the weights of the classifier" in text for text in found), found
