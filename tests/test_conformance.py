"""The conformance suite on every registered plugin, and on plugins that break their contract."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.conformance import CHECKS, Subject, conformance
from bench.conformance.attacks import ATTACK_CHECKS
from bench.contracts import Access, Attack
from bench.errors import PluginFault
from bench.plugins.catalog import list_plugins
from bench.plugins.configured import Configured, configure
from bench.plugins.discovery import import_plugin
from bench.registry import REGISTRIES
from bench.spec import Spec

SMALLER = {
    "boundary": "boundary:steps=300",
    "cw": "cw:steps=30:binary_search_steps=4:stepsize=0.1",
    "defensegan": "defensegan:width=8:critic_width=8:restarts=3:steps=10",
    "hopskipjump": "hopskipjump:steps=3:initial_gradient_eval_steps=20",
    "puvae": "puvae:channels=4:hidden=32",
    "saltandpepper": "saltandpepper:steps=100",
    "vgg16": "vgg16:hidden=16:batch_size=8",
}
"""Specs of the same plugins with less arithmetic, which run every line of them."""


def _cases() -> Iterator[object]:
    for plugin in list_plugins():
        for check in CHECKS[plugin.family]:
            spec = SMALLER.get(plugin.name, plugin.name)
            yield pytest.param(
                plugin.family, spec, check, id=f"{plugin.name}-{check.__name__.strip('_')}"
            )


_SUBJECTS: dict[str, Subject] = {}


@pytest.mark.parametrize(("family", "spec", "check"), list(_cases()))
def test_plugin_conforms(family: str, spec: str, check) -> None:  # type: ignore[no-untyped-def]
    subject = _SUBJECTS.setdefault(spec, Subject(family, configure(REGISTRIES[family], spec)))
    check(subject)


@pytest.mark.parametrize(
    "spec",
    [
        "bim:targeted=true", "mifgsm:targeted=true", "pgd:norm=l2", "pgd:norm=l1",
        "pgd:targeted=true", "deepfool:norm=linf", "ddn:steps=30:targeted=true",
        "fmn:norm=linf:steps=30", "fmn:norm=l1:steps=30", "fmn:steps=30:targeted=true",
        "boundary:steps=100:targeted=true",
        "hopskipjump:steps=3:initial_gradient_eval_steps=20:norm=linf",
    ],
)  # fmt: skip
def test_attacks_conform_in_every_norm_and_targeted(spec: str) -> None:
    assert failures("attack", spec) == []


def failures(family: str, spec: str) -> list[str]:
    return [reason for _, reason in conformance(family, spec) if reason]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raises", "raised RuntimeError: no such luck"),
        ("nan", "NaN or infinite"),
        ("shape", "returned shape"),
        ("range", r"outside \[0, 1\]"),
        ("dtype", "returned torch.float64"),
        ("none", "NoneType instead of a tensor"),
        ("in_place", "changes its input images"),
        ("random", "set stochastic = True"),
        ("batch", "depends on the other images"),
        ("engine", r"accelerated\(\) and forward\(\) give different images"),
        ("fit", "raised ValueError: cannot learn this"),
        ("loss", "diverged to nan"),
    ],
)
def test_a_broken_defense_is_caught(plugins: Path, how: str, reason: str) -> None:
    import_plugin(str(plugins / "faulty.py"))
    reasons = failures("defense", f"broken:how={how}")
    assert any(re.search(reason, text) for text in reasons), reasons


def test_a_sound_third_party_defense_passes(plugins: Path) -> None:
    import_plugin(str(plugins / "faulty.py"))
    assert failures("defense", "broken:how=ok") == []


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("ball", "beyond eps"),
        ("raises", "shy"),
        ("nan", "NaN"),
        ("range", "outside"),
        ("nothing", "unchanged"),
    ],
)
def test_a_broken_attack_is_caught(plugins: Path, how: str, reason: str) -> None:
    import_plugin(str(plugins / "faulty.py"))
    assert any(reason in text for text in failures("attack", f"broken_attack:how={how}"))


@dataclass(frozen=True)
class OneDraw(Attack):
    """An attack that follows a single gradient, whatever `eot` and the declared access are."""

    access: Access = "gradient"  # type: ignore[misc]

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        inputs = images.clone().requires_grad_(True)
        loss = nn.functional.cross_entropy(model(inputs), labels)
        gradient = (
            torch.autograd.grad(loss, inputs)[0] if loss.requires_grad else torch.zeros_like(images)
        )
        return (images + eps * gradient.sign()).clamp(0, 1)


@pytest.mark.parametrize(
    ("access", "reason"), [("gradient", "average over"), ("decision", "more than decisions")]
)
def test_an_attack_that_ignores_eot_or_its_declared_access_is_caught(
    access: Access, reason: str
) -> None:
    subject = Subject("attack", Configured(Spec("one_draw"), OneDraw(access), {}, {}))
    with pytest.raises(PluginFault, match=reason):
        [check(subject) for check in ATTACK_CHECKS]


@pytest.mark.parametrize("family", CHECKS)
def test_every_check_is_described_in_one_sentence(family: str) -> None:
    for check in CHECKS[family]:
        assert re.fullmatch(r"[A-Z][^\n.]* [^\n]*\.", inspect.getdoc(check) or ""), check


def test_whatever_a_check_raises_is_a_reason_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(_: Subject) -> None:
        """Check raises."""
        raise RuntimeError("two\nlines")

    monkeypatch.setitem(CHECKS, "defense", (check,))  # type: ignore[arg-type]
    assert list(conformance("defense", "none")) == [
        ("Check raises.", "defense none raised RuntimeError: two lines")
    ]
