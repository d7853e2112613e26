"""The conformance suite on every registered plugin, and on plugins that break their contract."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
from torch import Tensor, nn

from bench.conformance import CHECKS, Finding, Subject, conformance
from bench.conformance.attacks import ATTACK_CHECKS, _attack_repeatable, _within_ball
from bench.conformance.networks import _on_a_device
from bench.contracts import Access, Attack
from bench.errors import PluginFault
from bench.plugins.catalog import list_plugins
from bench.plugins.configured import Configured, configure
from bench.plugins.discovery import import_plugin
from bench.registry import ATTACKS, REGISTRIES
from bench.spec import Spec

SMALLER = {
    "adp": "adp:width=8:blocks=1:steps=3:draws=3",
    "boundary": "boundary:steps=300",
    "cnn": "cnn:width=8:hidden=16:batch_size=32",
    "convae": "convae:width=4:batch_size=16",
    "apgd": "apgd:steps=30",
    "cw": "cw:steps=30:binary_search_steps=4:stepsize=0.1",
    "defensegan": "defensegan:width=8:critic_width=8:restarts=3:steps=10:batch_size=16",
    "diffusion": "diffusion:channels=4:multipliers=[1,2]:attention=1:batch_size=8:steps=3",
    "fab": "fab:steps=20",
    "geoda": "geoda:queries=300",
    "hopskipjump": "hopskipjump:steps=3:initial_gradient_eval_steps=20",
    "latent": "latent:steps=60",
    "lbfgs": "lbfgs:steps=10:binary_search_steps=5",
    "onepixel": "onepixel:steps=4",
    "puvae": "puvae:channels=4:hidden=32:batch_size=16",
    "resnet18": "resnet18:width=8:batch_size=16",
    "saltandpepper": "saltandpepper:steps=100",
    "smoothing": "smoothing:samples=30:selection=5",
    "soap": "soap:width=8:hidden=32:batch_size=32",
    "square": "square:queries=200",
    "tv": "tv:steps=10",
    "vgg16": "vgg16:hidden=16:batch_size=8",
    "vote": "vote:defense=[puvae:channels=4:hidden=32:batch_size=16]:draws=3",
}
"""Specs of the same plugins with less arithmetic, which run every line of them."""


OFFLINE = ("digits",)
"""Data sets that need no files; the others have tests of their own."""


def _cases() -> Iterator[object]:
    for plugin in list_plugins():
        if plugin.family == "dataset" and plugin.name not in OFFLINE:
            continue
        if plugin.required:  # a file, for example; such a plugin has tests of its own
            continue
        for check in CHECKS[plugin.family]:
            if check is _on_a_device:  # tests/bench/conformance/test_device_check.py has it
                continue
            spec = SMALLER.get(plugin.name, plugin.name)
            yield pytest.param(
                plugin.family, spec, check, id=f"{plugin.name}-{check.__name__.strip('_')}"
            )


_SUBJECTS: dict[str, Subject] = {}


@pytest.mark.parametrize(("family", "spec", "check"), list(_cases()))
@pytest.mark.usefixtures("light_vgg")
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
        "geoda:queries=300:norm=linf", "geoda:queries=300:norm=l1", "jsma:theta=-1",
        "jsma:targeted=true", "lbfgs:steps=5:binary_search_steps=4:targeted=true",
    ],
)  # fmt: skip
def test_attacks_conform_in_every_norm_and_targeted(spec: str) -> None:
    assert failures("attack", spec) == []


def failures(family: str, spec: str) -> list[str]:
    return [finding.reason for finding in conformance(family, spec) if finding.reason]


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


@dataclass(frozen=True)
class Spoiling(OneDraw):
    """An attack that changes the attacked model in place."""

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        next(iter(model.parameters())).data[0, 0] += 1e-6  # too little to change a decision
        return super().perturb(model, images, labels, eps)


def test_an_attack_that_changes_the_model_is_caught() -> None:
    subject = Subject("attack", Configured(Spec("spoiling"), Spoiling(), {}, {}))
    with pytest.raises(PluginFault, match="changes the weights of the attacked model"):
        _attack_repeatable(subject)


@dataclass(frozen=True)
class Declaring(Attack):
    """A sign step whose declarations are chosen, from an image that may come back unbroken."""

    access: Access = "gradient"  # type: ignore[misc]
    single_step: bool = True  # type: ignore[misc]
    returns_unbroken: bool = False  # type: ignore[misc]
    repeats: int = 1
    keeps_unbroken: bool = False
    uses: Access = "gradient"

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        moved = images
        for _ in range(self.repeats):
            moved = (moved + eps * self.direction(model, moved, labels)).clamp(0, 1)
            moved = images + (moved - images).clamp(-eps, eps)

        with torch.no_grad():
            is_broken = (model(moved).argmax(1) != labels).view(-1, 1, 1, 1)
        return torch.where(is_broken, moved, images) if self.keeps_unbroken else moved

    def direction(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The sign of the mean gradient, or of its value along noise, which takes scores alone."""
        draws = int(getattr(model, "eot", 1))
        if self.uses == "gradient":
            inputs = images.clone().requires_grad_(True)
            for _ in range(draws):
                nn.functional.cross_entropy(model(inputs), labels).backward()
            return inputs.grad.sign()  # type: ignore[union-attr]

        noise = torch.randn_like(images)
        with torch.no_grad():
            before, after = (
                nn.functional.cross_entropy(model(shown), labels, reduction="none")
                for shown in (images, images + 1e-2 * noise)
            )
        return noise.sign() * (after - before).sign().view(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (Declaring(), ""),
        (Declaring(keeps_unbroken=True, returns_unbroken=True), ""),
        (Declaring(single_step=False, repeats=2), ""),
        (Declaring(uses="score", access="score", single_step=False), ""),
        (Declaring(single_step=False), "set single_step to True"),
        (Declaring(repeats=2), "takes 2 gradients of the model: set single_step to False"),
        (Declaring(uses="score", access="score"), "takes 0 gradients"),
        (Declaring(keeps_unbroken=True), "set returns_unbroken to True"),
        (Declaring(returns_unbroken=True), "set returns_unbroken to False"),
        (Declaring(access="score"), "set access to 'gradient'"),
        (Declaring(access="decision"), "uses more than decisions"),
        (Declaring(uses="score", access="decision", single_step=False), "set access to 'score'"),
    ],
)
def test_what_an_attack_declares_is_held_against_what_it_does(
    attack: Declaring, reason: str
) -> None:
    subject = Subject("attack", Configured(Spec("declaring"), attack, {}, {}))
    if not reason:
        for check in ATTACK_CHECKS:
            check(subject)
        return

    with pytest.raises(PluginFault, match=reason):
        [check(subject) for check in ATTACK_CHECKS]


def _norms() -> Iterator[object]:
    for name in ATTACKS:
        for norm in get_args(get_type_hints(ATTACKS.get(name)).get("norm")):
            yield pytest.param(f"{SMALLER.get(name, name)}:norm={norm}", id=f"{name}-{norm}")


@pytest.mark.parametrize("spec", list(_norms()))
def test_every_norm_that_an_attack_accepts_is_one_that_it_bounds(spec: str) -> None:
    subject = Subject("attack", configure(ATTACKS, spec))
    assert subject.configured.plugin.ball() == spec.rpartition("=")[2]
    _within_ball(subject)


@pytest.mark.parametrize("family", CHECKS)
def test_every_check_is_described_in_one_sentence(family: str) -> None:
    for check in CHECKS[family]:
        assert re.fullmatch(r"[A-Z][^\n.]* [^\n]*\.", inspect.getdoc(check) or ""), check


def test_whatever_a_check_raises_is_a_reason_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(_: Subject) -> None:
        """Check raises."""
        raise RuntimeError("two\nlines")

    monkeypatch.setitem(CHECKS, "defense", {check: ()})  # type: ignore[arg-type]
    assert list(conformance("defense", "none")) == [
        Finding("Check raises.", "defense none raised RuntimeError: two lines")
    ]
