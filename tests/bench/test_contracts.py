"""Defaults of the contracts, and the example in their documentation."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import Tensor, nn

import bench.contracts
from bench.conformance import conformance
from bench.contracts import Attack, MinimumNorm, Norm
from bench.plugins.discovery import import_plugin


@dataclass(frozen=True)
class Fixed(Attack):
    """Attack without a parameter `norm`."""

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        return images


@dataclass(frozen=True)
class Chosen(Fixed):
    """Attack with a parameter `norm`."""

    norm: Norm = "linf"


@dataclass(frozen=True)
class Nearest(MinimumNorm):
    """Minimum-norm attack without a parameter `norm`."""

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return images


@dataclass(frozen=True)
class NearestChosen(Nearest):
    """Minimum-norm attack with a parameter `norm`."""

    norm: Norm = "l2"


@pytest.mark.parametrize(
    ("attack", "norm"),
    [
        (Fixed(), "linf"),
        (Chosen(), "linf"),
        (Chosen(norm="l1"), "l1"),
        (Nearest(), "l2"),
        (NearestChosen(norm="linf"), "linf"),
    ],
)
def test_the_budget_bounds_the_norm_of_the_parameter(attack: Attack, norm: Norm) -> None:
    assert attack.ball() == norm


def test_the_example_in_the_documentation_is_a_complete_plugin(tmp_path: Path) -> None:
    indented = re.search(
        r"^    from dataclasses.*?(?=^\S)", bench.contracts.__doc__ or "", re.M | re.S
    )
    assert indented is not None
    path = tmp_path / "blur.py"
    path.write_text(textwrap.dedent(indented[0]))
    import_plugin(str(path))

    results = list(conformance("defense", "blur"))
    assert len(results) > 10
    assert [finding.reason for finding in results if finding.reason] == []
