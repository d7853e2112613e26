"""The conformance suite over every registered plugin, and that it catches what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.catalog import cards
from bench.configure import configure
from bench.conformance import CHECKS, Subject, conformance
from bench.discovery import import_plugin
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES

REGISTRIES = {"defense": DEFENSES, "attack": ATTACKS, "classifier": CLASSIFIERS}
SMALLER = {
    "defensegan": "defensegan:width=8:critic_width=8:restarts=3:steps=10",
    "puvae": "puvae:channels=4:hidden=32",
    "vgg16": "vgg16:hidden=16:batch_size=8",
}
"""The same plugins with less arithmetic; every line of them runs."""


def _cases() -> Iterator[object]:
    for card in cards():
        for check in CHECKS[card.family]:
            spec = SMALLER.get(card.name, card.name)
            yield pytest.param(card.family, spec, check, id=f"{card.name}-{check.__name__.strip('_')}")


_SUBJECTS: dict[str, Subject] = {}


@pytest.mark.parametrize(("family", "spec", "check"), list(_cases()))
def test_plugin_conforms(family: str, spec: str, check) -> None:  # type: ignore[no-untyped-def]
    subject = _SUBJECTS.setdefault(spec, Subject(family, configure(REGISTRIES[family], spec)))  # type: ignore[arg-type]
    check(subject)


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
        ("in_place", "changes the images it is given"),
        ("random", "set stochastic = True"),
        ("batch", "depends on the other images"),
        ("fit", "raised ValueError: cannot learn this"),
        ("loss", "diverged to nan"),
    ],
)
def test_a_broken_defense_is_caught(plugins: Path, how: str, reason: str) -> None:
    import re

    import_plugin(str(plugins / "faulty.py"))
    found = failures("defense", f"broken:how={how}")
    assert any(re.search(reason, text) for text in found), found


def test_a_sound_third_party_defense_passes(plugins: Path) -> None:
    import_plugin(str(plugins / "faulty.py"))
    assert failures("defense", "broken:how=ok") == []


@pytest.mark.parametrize(
    ("how", "reason"),
    [("ball", "beyond eps"), ("raises", "shy"), ("nan", "NaN"), ("range", "outside"), ("nothing", "unchanged")],
)
def test_a_broken_attack_is_caught(plugins: Path, how: str, reason: str) -> None:
    import_plugin(str(plugins / "faulty.py"))
    assert any(reason in text for text in failures("attack", f"broken_attack:how={how}"))
