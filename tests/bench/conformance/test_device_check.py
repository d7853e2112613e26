"""The check of plugins on another device: what it finds, and what the built-in ones may do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from bench.conformance import Subject
from bench.conformance.attacked_models import AttackedModel
from bench.conformance.attacks import _moderate_budget
from bench.conformance.devices import Use, attack_use, judged, network_uses
from bench.conformance.host_access import HostAccess
from bench.conformance.networks import _on_a_device
from bench.contracts import Attack, DataInfo, Defense, FitContext
from bench.errors import PluginFault
from bench.plugins.catalog import list_plugins
from bench.plugins.configured import configure
from bench.plugins.origins import installation_folder
from bench.plugins.packages import ROOT
from bench.registry import REGISTRIES, register_attack, register_defense
from bench.stages.crafting import perturb
from bench.stages.seeding import seeded
from bench.stages.surrogates import DefendedClassifier
from tests.test_conformance import SMALLER

Fault = Literal[
    "none", "zeros", "generator", "numpy", "host", "built", "index", "number", "mask", "fit", "loss"
]


@register_defense("test-device")
@dataclass(frozen=True)
class Faulty(Defense):
    """A defense with a fault that shows on a device only."""

    fault: Fault = "none"

    def build(self, data: DataInfo) -> nn.Module:
        return _Faulty(self.fault)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        for images, _ in context.batches(2, steps=9):
            if self.fault == "fit":
                images.to("cpu")
            if self.fault == "loss":
                float(images.mean())


class _Faulty(nn.Module):
    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    def forward(self, images: Tensor) -> Tensor:
        match self.fault:
            case "zeros":
                return images + torch.zeros(images.shape)
            case "generator":
                generator = torch.Generator().manual_seed(0)
                noise = torch.rand(images.shape, generator=generator, device=images.device)
                return (images + noise).clamp(0, 1)
            case "numpy":
                return torch.from_numpy(images.detach().numpy()).to(images)
            case "host":
                return images.cpu().clamp(0, 1).to(images.device)
            case "built":
                return images * torch.tensor([1.0], device=images.device)
            case "index":
                return images[torch.arange(len(images))]
            case "number":
                return images * float(images.detach().max() > 2) + images
            case "mask":
                return images.where(images > 0, torch.zeros_like(images)) + images[images > 2].sum()
            case _:
                return images


def line_of(text: str) -> str:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return f"{Path(__file__).name}:{1 + next(i for i, line in enumerate(lines) if text in line)}"


def checked(spec: str) -> str:
    return _on_a_device(Subject("defense", configure(REGISTRIES["defense"], spec)))


@pytest.mark.parametrize(
    ("fault", "reason", "line"),
    [
        ("zeros", "are mixed", "images + torch.zeros"),
        ("generator", "random generator", "torch.rand(images.shape, generator"),
        ("numpy", "array of NumPy", "torch.from_numpy(images"),
        ("host", r"forward\(\) moves tensors", "images.cpu().clamp"),
        ("built", r"forward\(\) moves tensors", "torch.tensor([1.0], device"),
        ("index", r"forward\(\) moves tensors", "images[torch.arange"),
        ("fit", r"fit\(\) moves tensors", 'images.to("cpu")'),
    ],
)
def test_a_fault_is_found_at_its_line(fault: Fault, reason: str, line: str) -> None:
    with pytest.raises(PluginFault, match=reason) as found:
        checked(f"test-device:fault={fault}")
    assert line_of(line) in str(found.value)


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("number", "float(images.detach()"),
        ("mask", "images[images > 2]"),
        ("loss", "float(images.mean())"),
    ],
)
def test_a_wait_is_a_note(fault: Fault, line: str) -> None:
    note = checked(f"test-device:fault={fault}")
    assert "the host waits for the device" in note
    assert line_of(line) in note


def test_a_sound_defense_has_no_note() -> None:
    assert checked("test-device") == ""


def test_a_reason_for_work_on_the_host_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Faulty, "host_work", "a codec of the CPU")
    assert checked("test-device:fault=host") == ""


@register_attack("test-device")
@dataclass(frozen=True)
class Moving(Attack):
    """An attack that moves its images in every step, and says nothing of it."""

    steps: int = 50

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        moved = images.to("cpu")
        for _ in range(self.steps):
            moved = moved.to(images.device).to("cpu")
        return moved.to(images.device)


WAITS = {
    "foolbox": "its attacks ask on the host whether all images are adversarial",
    "eagerpy": "foolbox's tensors: its own conversions",
    "attacks/_foolbox.py": "foolbox asserts that inputs are in [0, 1], without a message",
    "attacks/_art.py": "ART computes in NumPy",
    "attacks/lbfgs.py": "L-BFGS-B is that of SciPy",
    "attacks/_queries.py": "an image leaves once it is misclassified, which saves its queries",
    "attacks/square.py": "an image leaves once it is misclassified, which saves its queries",
    "attacks/apgd.py": "an image leaves once it is misclassified, which saves its restarts",
    "attacks/_kept_iterates.py": "keep=first: an image leaves once it is misclassified",
    "defenses/adp.py": "PyTorch's moving average moves its counter once in an iteration",
    "defenses/defensegan.py": "PyTorch's moving average moves its counter once in an iteration",
    "defenses/diffusion.py": "PyTorch's moving average moves its counter once in an iteration",
    "defenses/jpeg.py": "Pillow is the codec",
    "bench/stages/guard.py": "every output of a plugin is judged before it goes on, in one copy",
    "bench/stages/train.py": "the weights of a network that a parameter names are judged once",
    "bench/stages/training.py": "the losses, at one of many steps",
}
"""The files in which the host waits for the device again and again, and why."""

VARIANTS = {
    "defense": [
        "convae:through=true:classifier_weight=1:width=4",
        "convae:pool=2:attack=[pgd:steps=2]:width=4",
        "puvae:noise=0:stride=2:channels=2:hidden=8:input_noise=0.1",
        "puvae:channels=2:hidden=8:reconstruction=mse:reduction=mean:decay=0.5",
        "defensegan:width=2:critic_width=2:restarts=2:steps=4:critic_steps=1:batch_norm=true:ema=0.9",
        "defensegan:width=2:critic_width=2:restarts=2:steps=4:critic_steps=1:sphere=true",
        "adp:width=2:blocks=1:steps=2:noise=0:stop=0",
        "diffusion:channels=4:multipliers=1:attention=0:dropout=0.1:batch_size=4:steps=2:repeats=2:guide_weight=1",
        "vote:defense=[gaussian_noise]:rule=majority",
        "median:size=2",
        "tv:dropout=0:steps=3",
        "pixel_deflection:sigma=0",
        "reformer:pooling=false:activation=relu",
        "detector:divergence=[reformer]:reformer=none",
    ],
    "classifier": ["cnn:width=4:hidden=8:adversarial=[pgd:steps=2]:eps=0.1"],
    "attack": [
        "apgd:loss=dlr:norm=l2:restarts=2",
        "apgd:loss=targeted:target_classes=2",
        "pgd:norm=l1",
        "pgd:norm=l2",
        "pgd:targeted=true:target=random",
        "pgd:targeted=true:target=each",
        "pgd:keep=first",
        "bim:keep=worst",
        "mifgsm:targeted=true",
        "fab:norm=l2",
        "fab:norm=l1",
        "fmn:norm=l1",
        "fmn:norm=linf",
        "deepfool:norm=linf",
        "square:queries=40:norm=l2",
        "geoda:queries=40:norm=linf",
        "jsma:theta=-1",
        "lbfgs:binary_search_steps=3:targeted=true",
    ],
}
"""Parameters of the built-in plugins that choose other code, beside their defaults."""


def _built_in() -> Iterator[tuple[str, str]]:
    for plugin in list_plugins():
        if plugin.family in VARIANTS and not plugin.required:
            yield plugin.family, SMALLER.get(plugin.name, plugin.name)
    for family, specs in VARIANTS.items():
        yield from ((family, spec) for spec in specs)


def uses_of(subject: Subject) -> Sequence[Use]:
    """The uses of a plugin; those of a network are the ones that the suite judges."""
    if subject.family == "attack":
        return [attack_use(subject, attacked)]

    uses = network_uses(subject)
    judged(uses, subject.configured.plugin.host_work)
    return uses


def attacked(subject: Subject) -> Tensor:
    """The adversarial images of the pipeline that is evaluated, whose worst iterates are kept."""
    model = DefendedClassifier(None, subject.classifier).eval()
    model.generator = AttackedModel(subject).generator
    model.evaluated = True
    with seeded(subject.device, "test"):
        eps = _moderate_budget(subject)
        return perturb(subject.configured, model, subject.images, subject.labels, eps)


@pytest.mark.parametrize(("family", "spec"), list(_built_in()))
@pytest.mark.usefixtures("light_vgg")
def test_a_built_in_plugin_waits_only_where_it_is_declared(family: str, spec: str) -> None:
    for use in uses_of(Subject(family, configure(REGISTRIES[family], spec))):
        found = {declared(access) or str(access) for access in use.accesses}
        assert found <= set(WAITS), (use.name, found - set(WAITS))


def declared(access: HostAccess) -> str:
    """The file or library of the innermost line, as `WAITS` names it."""
    path = Path(access.stack[0].file)
    folder = installation_folder(path)
    if folder is not None:
        return path.relative_to(folder).parts[0]
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""


@pytest.mark.parametrize("spec", ["jpeg", "jsma", "lbfgs", "onepixel:steps=2", "geoda:queries=20"])
def test_work_on_the_host_is_declared_by_the_plugin(spec: str) -> None:
    family = "defense" if spec == "jpeg" else "attack"
    assert configure(REGISTRIES[family], spec).plugin.host_work


def test_an_attack_that_moves_its_images_in_every_step_is_found() -> None:
    subject = Subject("attack", configure(REGISTRIES["attack"], "test-device"))
    with pytest.raises(PluginFault, match=r"perturb\(\) moves tensors") as found:
        judged([attack_use(subject, attacked)], "")
    assert line_of('moved = moved.to(images.device).to("cpu")') in str(found.value)
