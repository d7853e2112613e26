"""The conformance suite names a cause once, and takes the images of any data set."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from bench.conformance import CHECKS, Finding, conformance
from bench.contracts import Attack, Classifier, DataInfo, Defense
from bench.errors import RequestError
from bench.registry import register_attack, register_classifier, register_defense

COLOR = "digits:colors=rgb:size=32"
_OWN = random.Random(0)


class _Noise(nn.Module):
    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, images: Tensor) -> Tensor:
        return (images + 0.1 * self.draw()).clamp(0, 1)


@register_defense("test-cause")
@dataclass(frozen=True)
class OneFault(Defense):
    """A defense with a single fault."""

    fault: Literal["own generator", "undeclared", "build", "call", "range"]

    def build(self, data: DataInfo) -> nn.Module:
        if self.fault == "build":
            raise RuntimeError("three channels are needed")
        if self.fault == "call":
            return nn.Conv2d(3, 3, 1)
        if self.fault == "range":
            return nn.Threshold(2.0, 3.0)
        draw = _OWN.random if self.fault == "own generator" else lambda: float(torch.rand(()))
        return _Noise(draw)


@register_attack("test-cause")
@dataclass(frozen=True)
class OwnGenerator(Attack):
    """Noise from a generator of its own."""

    access = "decision"

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        return (images + eps * (2 * _OWN.random() - 1)).clamp(0, 1)


@register_classifier("test-colored")
@dataclass(frozen=True)
class Colored(Classifier):
    """A classifier of color images of 32x32 pixels."""

    def build(self, data: DataInfo) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 2, 32), nn.Flatten(), nn.Linear(2, data.classes))


def failed(family: str, spec: str, **options: Any) -> list[str]:
    return [finding.reason for finding in conformance(family, spec, **options) if finding.reason]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("own generator", "the output differs under the same seed"),
        ("undeclared", "the output changes with the seed: set stochastic = True"),
        ("build", "three channels are needed (on 1x28x28 images of digits; if"),
        ("call", "(on 1x28x28 images of digits; if"),
        ("range", "outside [0, 1]"),
    ],
)
def test_one_line_for_each_cause(fault: str, reason: str) -> None:
    found = failed("defense", f"test-cause:fault={fault}")
    assert len(found) == 1, found
    assert reason in found[0]
    assert ("--dataset" in found[0]) == ("1x28x28" in reason)


def test_an_attack_with_a_generator_of_its_own_is_one_line() -> None:
    found = failed("attack", "test-cause")
    assert [reason for reason in found if "same seed" in reason], found
    assert not [reason for reason in found if "more than decisions" in reason], found


def test_a_check_that_is_not_judged_names_the_cause() -> None:
    findings = list(conformance("defense", "test-cause:fault=build"))
    cause = "Output has the right shape, type and range, for several images and for one."
    reloads = "Output is the same after the weights are loaded into a new module."
    assert Finding(reloads, cause=cause) in findings
    assert {finding.cause for finding in findings} == {"", cause}


def test_the_command_counts_the_checks_that_are_not_judged(
    bench: Callable[..., Any], plugins: Path
) -> None:
    done = bench("check", f"{plugins / 'faulty.py'}:broken:how=raises")
    assert done.code == 1
    lines = done.out.splitlines()
    assert re.match(r"  -    \d+ checks not judged, because of the failure of: Output", lines[-2])
    assert lines[-1] == "1 check failed"
    assert sum("no such luck" in line for line in lines) == 1


@pytest.mark.parametrize("family", CHECKS)
def test_a_check_presupposes_earlier_ones_of_its_family(family: str) -> None:
    order = list(CHECKS[family])
    for check, presupposed in CHECKS[family].items():
        assert all(order.index(earlier) < order.index(check) for earlier in presupposed)


@pytest.mark.parametrize(
    ("family", "spec"),
    [("classifier", "test-colored"), ("defense", "median"), ("attack", "fgsm"), ("attack", "pgd")],
)
def test_a_plugin_is_checked_on_the_images_of_any_data_set(family: str, spec: str) -> None:
    assert failed(family, spec, images_of=COLOR) == []


def test_an_unknown_data_set_is_a_wrong_request() -> None:
    with pytest.raises(RequestError, match=r"unknown dataset 'digit'.*did you mean 'digits'"):
        failed("defense", "none", images_of="digit")


def test_the_command_takes_a_data_set_and_one_plugin_of_a_file(
    bench: Callable[..., Any], plugins: Path
) -> None:
    done = bench("check", f"{plugins / 'my_median.py'}:my_median:radius=2", "--dataset", COLOR)
    assert done.code == 0, done.out + done.err
    assert done.out.startswith("defense my_median:radius=2\n")

    wrong = bench("check", f"{plugins / 'my_median.py'}:my_medan")
    assert wrong.code == 2
    assert "unknown plugin of" in wrong.err
    assert "did you mean 'my_median'?" in wrong.err
    assert bench("check", "none", "--dataset", "nothing").code == 2
    assert "does not exist" in bench("check", "absent.py:x").err
