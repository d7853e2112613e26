"""From options to a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.commands.request import Request, Resources, budgets, configuration
from bench.errors import RequestError


def test_budgets_may_name_their_attack() -> None:
    assert budgets(["0.1", "cw=1.5", "pgd:norm=l2=2", "0.3", "cw=3"]) == {
        "eps": ("0.1", "0.3"),
        "attack_eps": {"cw": ("1.5", "3"), "pgd:norm=l2": ("2",)},
    }
    assert budgets(["cw=1"]) == {"eps": None, "attack_eps": {"cw": ("1",)}}
    assert budgets(None) == {"eps": None, "attack_eps": None}


def request(tmp_path: Path, eps: str | None, **scalars: str) -> Any:
    path = tmp_path / "mine.toml"
    path.write_text("eps = [0.05]\n[attack_eps]\nfgsm = [0.2]\npgd = [0.3]\n")
    resources = Resources(device="cpu", data=None, cache=None, out=None)
    return configuration(Request({"eps": eps}, scalars, {}, None, path, (), resources))[1]


def test_named_budgets_alone_leave_the_presets_others(tmp_path: Path) -> None:
    config = request(tmp_path, "pgd=0.1,pgd=0.15,jpeg:x=[a,b]=1")
    assert config.eps == (0.05,)
    assert config.attack_eps == {"fgsm": (0.2,), "pgd": (0.1, 0.15), "jpeg:x=[a,b]": (1.0,)}
    config = request(tmp_path, "0.1,pgd=0.15")
    assert (config.eps, config.attack_eps) == ((0.1,), {"pgd": (0.15,)})
    assert request(tmp_path, None).attack_eps == {"fgsm": (0.2,), "pgd": (0.3,)}
    assert request(tmp_path, None, convergence="7").convergence == 7


@pytest.mark.parametrize("eps", ["pgd=x", "pgd=", "pgd=-1", "x", "pgd:norm=l2"])
def test_a_budget_that_is_no_number_is_refused(tmp_path: Path, eps: str) -> None:
    with pytest.raises(RequestError, match="--eps = "):
        request(tmp_path, eps)
