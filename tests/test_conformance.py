"""The conformance suite over every registered plugin, and that it catches what it is for."""

from __future__ import annotations

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
from bench.plugins.catalog import cards
from bench.plugins.configured import Configured, configure
from bench.plugins.discovery import import_plugin
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES
from bench.spec import Spec

REGISTRIES = {"defense": DEFENSES, "attack": ATTACKS, "classifier": CLASSIFIERS}
SMALLER = {
    "boundary": "boundary:steps=300",
    "cw": "cw:steps=30:binary_search_steps=4:stepsize=0.1",
    "defensegan": "defensegan:width=8:critic_width=8:restarts=3:steps=10",
    "hopskipjump": "hopskipjump:steps=3:initial_gradient_eval_steps=20",
    "puvae": "puvae:channels=4:hidden=32",
    "saltandpepper": "saltandpepper:steps=100",
    "vgg16": "vgg16:hidden=16:batch_size=8",
}
"""The same plugins with less arithmetic; every line of them runs."""


def _cases() -> Iterator[object]:
    for card in cards():
        for check in CHECKS[card.family]:
            spec = SMALLER.get(card.name, card.name)
            yield pytest.param(
                card.family, spec, check, id=f"{card.name}-{check.__name__.strip('_')}"
            )


_SUBJECTS: dict[str, Subject] = {}


@pytest.mark.parametrize(("family", "spec", "check"), list(_cases()))
def test_plugin_conforms(family: str, spec: str, check) -> None:  # type: ignore[no-untyped-def]
    subject = _SUBJECTS.setdefault(spec, Subject(family, configure(REGISTRIES[family], spec)))  # type: ignore[arg-type]
    check(subject)


@pytest.mark.parametrize(
    "spec",
    [
        "bim:targeted=true", "mifgsm:targeted=true", "pgd:norm=l2", "pgd:norm=l1", "pgd:targeted=true",
        "deepfool:norm=linf",
        "ddn:steps=30:targeted=true", "fmn:norm=linf:steps=30", "fmn:norm=l1:steps=30", "fmn:steps=30:targeted=true",
        "boundary:steps=100:targeted=true", "hopskipjump:steps=3:initial_gradient_eval_steps=20:norm=linf",
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
        ("in_place", "changes the images it is given"),
        ("random", "set stochastic = True"),
        ("batch", "depends on the other images"),
        ("engine", r"accelerated\(\) gives other images than forward"),
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
    """An attack that looks at one gradient, whatever the model asks for, under the access it is told to declare."""

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
def test_an_attack_that_looks_at_too_little_or_too_much_is_caught(
    access: Access, reason: str
) -> None:
    subject = Subject("attack", Configured(Spec("one_draw"), OneDraw(access), {}, {}))
    with pytest.raises(PluginFault, match=reason):
        [check(subject) for check in ATTACK_CHECKS]
