"""Networks that the parameters of others name: one mechanism, one key, one network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import (
    Classifier,
    ClassifierSpec,
    DataInfo,
    Defense,
    DefenseSpecs,
    FitContext,
)
from bench.errors import PluginFault
from bench.plugins.configured import configure
from bench.progress import Silent
from bench.registry import CLASSIFIERS, DEFENSES, register_classifier, register_defense
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.stages.observation import Observer
from bench.stages.references import NetworkRef
from bench.stages.train import Train
from bench.store.artifacts import ArtifactStore, read_artifact

CPU = torch.device("cpu")


class _Shift(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.rand(()))

    def forward(self, images: Tensor) -> Tensor:
        return (images + 0.01 * self.shift).clamp(0, 1)


@register_defense("test-part")
@dataclass(frozen=True)
class Part(Defense):
    """A defense of one weight, which is drawn when it is built and again when it is trained."""

    index: int = 0
    fails: bool = False

    def build(self, data: DataInfo) -> nn.Module:
        return _Shift()

    def fit(self, module: nn.Module, context: FitContext) -> None:
        if self.fails:
            raise ValueError("this part does not learn")
        module.shift.data.copy_(torch.rand(()) + self.index)


@register_defense("test-against")
@dataclass(frozen=True)
class Against(Part):
    """A part that is trained with the classifier."""

    uses_classifier = True

    def fit(self, module: nn.Module, context: FitContext) -> None:
        module.shift.data.copy_(next(context.classifier.parameters()).flatten()[0])


@register_defense("test-whole")
@dataclass(frozen=True)
class Whole(Defense):
    """A defense of others, which does something else first."""

    parts: DefenseSpecs
    does: Literal["nothing", "settings", "change", "other"] = "nothing"
    with_classifier: bool = False

    @property
    def uses_classifier(self) -> bool:  # type: ignore[override]
        return self.with_classifier

    def build(self, data: DataInfo) -> nn.Module:
        parts = [self.member(spec).build(data) for spec in self.parts]
        return nn.Sequential(*parts, _Shift())

    def fit(self, module: nn.Module, context: FitContext) -> None:
        if self.does == "settings":
            torch.set_default_dtype(torch.float64)
            torch.rand(3)
        for stage, spec in zip(module, self.parts, strict=False):
            trained = context.build(spec)
            assert not trained.training
            assert not any(parameter.requires_grad for parameter in trained.parameters())
            stage.load_state_dict(trained.state_dict())
            if self.does == "change":
                trained.shift.data.add_(1)
        torch.set_default_dtype(torch.float32)
        module[-1].shift.data.copy_(torch.rand(()))
        if self.does == "other":
            context.build(configure(DEFENSES, "median").resolved)


@register_classifier("test-drawn")
@dataclass(frozen=True)
class Drawn(Classifier):
    """The nearest mean image of the classes, with a number that is drawn in training."""

    def build(self, data: DataInfo) -> nn.Module:
        module = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, data.classes))
        module.register_buffer("drawn", torch.zeros(()))
        return module

    def fit(self, module: nn.Module, context: FitContext) -> None:
        images, labels = next(context.batches(10_000, steps=1))
        means = torch.stack([images[labels == label].mean(dim=0) for label in labels.unique()])
        module[1].weight.data.copy_(means.flatten(1))
        module[1].bias.data.copy_(-0.5 * means.flatten(1).square().sum(dim=1))
        module.drawn.copy_(torch.rand(()))


@register_classifier("test-one-of-them")
@dataclass(frozen=True)
class OneOfThem(Classifier):
    """A classifier that is another one."""

    classifier: ClassifierSpec

    def build(self, data: DataInfo) -> nn.Module:
        return self.member(self.classifier).build(data)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        module.load_state_dict(context.build(self.classifier).state_dict())


class Bench:
    """Trainings in a cache of their own."""

    def __init__(self, cache: Path) -> None:
        self.context = TaskContext(CPU, ArtifactStore(cache), cache / "no-data", Silent())
        self.executor = LocalExecutor(self.context)

    def task(self, text: str, against: str = "", role: str = "") -> Train:
        classifier = Train(configure(CLASSIFIERS, against), self.split, 0) if against else None
        reference = self.reference(classifier) if classifier else None
        registry: Any = CLASSIFIERS if text.partition(":")[0] in CLASSIFIERS else DEFENSES
        return Train(configure(registry, text), self.split, 0, reference, role)

    @property
    def split(self) -> Any:
        return self.context.split("digits", None)

    def reference(self, task: Train) -> NetworkRef:
        return NetworkRef(task.plugin, task.split.info, task.key, self.executor.digest(task))

    def is_stored(self, task: Train) -> bool:
        return self.context.store.digest(task.kind, task.key) is not None


PARTS = "test-whole:parts=[test-part,test-part:index=2]"


def test_a_member_is_the_network_of_a_run_that_names_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    member = bench.task("test-part:index=2")
    assert not bench.is_stored(member)
    whole = bench.executor.artifact(bench.task(PARTS))
    assert bench.is_stored(member)
    assert bench.is_stored(bench.task("test-part"))
    assert whole.tensors["1.shift"] == bench.executor.artifact(member).tensors["shift"] > 2


@pytest.mark.parametrize("does", ["nothing", "settings"])
def test_the_numbers_do_not_depend_on_who_trains_first(tmp_path: Path, does: str) -> None:
    text = f"{PARTS}:does={does}"
    first = Bench(tmp_path / "a")
    alone = first.executor.digest(first.task(text))

    second = Bench(tmp_path / "b")
    parts = [second.task("test-part"), second.task("test-part:index=2")]
    digests = [second.executor.digest(part) for part in parts]
    second.context.network(second.reference(parts[0]))  # one of them is in memory already
    assert second.executor.digest(second.task(text)) == alone
    assert [first.executor.digest(part) for part in parts] == digests


def test_members_of_members_are_trained(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.executor.digest(bench.task(f"test-whole:parts=[{PARTS}]"))
    assert bench.is_stored(bench.task(PARTS))
    assert bench.is_stored(bench.task("test-part"))


def test_a_member_is_trained_with_the_classifier_of_the_whole(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    text = "test-whole:parts=test-against"
    with pytest.raises(PluginFault, match=r"test-against.* set uses_classifier = True"):
        bench.executor.digest(bench.task(text))

    bench.executor.digest(bench.task(f"{text}:with_classifier=true", against="test-drawn"))
    assert bench.is_stored(bench.task("test-against", against="test-drawn"))


def test_a_member_of_a_substitute_is_a_substitute(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.executor.digest(bench.task("test-one-of-them:classifier=test-drawn", role="substitute"))
    assert bench.is_stored(bench.task("test-drawn", role="substitute"))
    assert not bench.is_stored(bench.task("test-drawn"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("test-whole:parts=test-part:does=other", "builds 'median.*they name: test-part"),
        ("test-whole:parts=[test-part:fails=true]", "test-part.* raised ValueError: this part"),
        ("test-whole:parts=test-part:does=change", "changed the weights.* of defense test-part"),
    ],
)
def test_a_fault_is_that_of_the_whole_and_names_the_cause(
    tmp_path: Path, text: str, reason: str
) -> None:
    bench = Bench(tmp_path)
    task = bench.task(text)
    with pytest.raises(PluginFault, match=reason):
        bench.executor.digest(task)
    assert not bench.is_stored(task)


def test_a_changed_member_is_loaded_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(PluginFault):
        bench.executor.digest(bench.task("test-whole:parts=test-part:does=change"))
    member = bench.task("test-part")
    module = bench.context.network(bench.reference(member))
    assert float(module.shift) == bench.executor.artifact(member).tensors["shift"]


def test_a_damaged_member_is_made_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    member = bench.task("test-part")
    bench.executor.digest(member)
    path = bench.context.store.path(member.kind, member.key)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    again = Bench(tmp_path)
    again.executor.digest(again.task("test-whole:parts=test-part"))
    assert read_artifact(path).tensors["shift"] < 1


def test_the_key_of_an_observed_member_is_that_of_the_defense_alone(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    torch.save({"shift": torch.tensor(0.5)}, weights)
    observer, info = Observer(), DataInfo((1, 28, 28), 10)

    @register_defense("test-loads")
    @dataclass(frozen=True)
    class Loads(Defense):
        """A defense that reads a file that it does not declare."""

        def build(self, data: DataInfo) -> nn.Module:
            module = _Shift()
            module.load_state_dict(torch.load(weights))
            return module

    alone = observer.observed(configure(DEFENSES, "test-loads"), info)
    whole = observer.observed(configure(DEFENSES, "test-whole:parts=test-loads"), info)
    assert "built" in alone.identity
    assert "built" in whole.identity
    assert whole.members[alone.resolved].identity == alone.identity
