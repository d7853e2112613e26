"""Tasks on a simulated device: the bits of the CPU, brought to the host where they are stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.conformance.host_access import HostAccess
from bench.conformance.simulated_device import simulated_device
from bench.conformance.simulated_tensor import SIMULATED
from bench.contracts import Classifier, DataInfo, FitContext
from bench.plugins.configured import configure
from bench.plugins.packages import ROOT
from bench.progress import Silent
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES, register_classifier
from bench.stages.attacked import AttackedRef
from bench.stages.context import TaskContext
from bench.stages.probe_eot import EotProbe
from bench.stages.probe_noise import NoiseProbe
from bench.stages.probe_repeats import RepeatProbe
from bench.stages.probe_scores import ScoreProbe
from bench.stages.task import Task
from bench.stages.threats import THREATS
from bench.stages.train import Train
from bench.store.artifacts import ArtifactStore
from tests.bench.stages.test_microbatches import built, network, task_of

TO_HOST = {
    "adversarial": {"bench/stages/craft.py", "bench/stages/cascade_state.py"},
    "predictions": {"bench/stages/predict.py"},
    "probes": {"bench/stages/probe.py"},
    "network": {"bench/stages/context.py"},
}
"""The modules that bring to the host what a task of a kind stores."""


PROBES: dict[str, Callable[..., Task]] = {
    "expectation": partial(EotProbe, attack=configure(ATTACKS, "pgd:steps=2"), eps=0.1),
    "noise": partial(NoiseProbe, eps=0.1, norm="l2"),
    "repetition": RepeatProbe,
    "scores": partial(ScoreProbe, eps=0.1, norm="linf"),
}


@register_classifier("test-one-layer")
@dataclass(frozen=True)
class OneLayer(Classifier):
    """A classifier that learns a little in a second."""

    def build(self, data: DataInfo) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(784, data.classes))

    def fit(self, module: nn.Module, context: FitContext) -> None:
        optimizer = torch.optim.Adam(module.parameters(), 0.01)
        for images, labels in context.batches(32, steps=40):
            loss = nn.functional.cross_entropy(module(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def made(kind: str, context: TaskContext) -> Task:
    """A task on a few digits."""
    split = context.split("digits", 12)
    if kind == "train":
        return Train(configure(CLASSIFIERS, "test-one-layer"), context.split("digits", None), 0)
    if kind not in PROBES:
        return task_of(kind, context, backward=False)

    attacked = AttackedRef(
        THREATS["whitebox"],
        classifier=network(configure(CLASSIFIERS, "test-sums"), split),
        purifier=network(configure(DEFENSES, "test-small"), split),
    )
    return PROBES[kind](attacked, split, 12, 0)


@pytest.mark.parametrize(
    "kind",
    ["train", "predict", "judge", "member", "probe", "whitebox:eot=2", "bpda", *PROBES],
)
def test_a_task_on_a_device_has_the_bits_of_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(
        TaskContext, "network", lambda context, reference: built(reference).to(context.device)
    )
    # The class that is registered: pytest may import its module a second time.
    small = type(configure(DEFENSES, "test-small").plugin)
    monkeypatch.setattr(small, "limit", 1000)
    store = ArtifactStore(tmp_path)
    here = TaskContext(torch.device("cpu"), store, tmp_path, Silent())
    there = TaskContext(SIMULATED, store, tmp_path, Silent())
    task = made(kind, here)

    expected, _ = task.run(here)
    with simulated_device() as accesses:
        found, _ = task.run(there)

    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert accesses
    assert moving(accesses) <= TO_HOST[task.kind]


def moving(accesses: Sequence[HostAccess]) -> set[str]:
    """The files that bring tensors from the device to the host."""
    files = [Path(access.stack[0].file) for access in accesses if access.kind == "to the host"]
    return {file.relative_to(ROOT).as_posix() for file in files}
