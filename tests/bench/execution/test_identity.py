"""The order in which workers do tasks changes no byte of a run's outcomes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.execution.jobs import Finished, Job, WorkerSetup
from bench.execution.worker import Desk
from bench.store.artifacts import read_artifact
from tests.conftest import Finished as Command

GRID = (
    *("--defenses", "vote:defense=gaussian_noise:draws=2", "--attacks", "fgsm,ddn:steps=2"),
    *("--eps", "fgsm=0.1,ddn=1,cascade=0.1"),
    *("--threats", "bpda:eot=2,transfer,adaptive:budget=quick"),
    *("--n", 6, "--draws", 2, "--convergence", 4, "--no-latency", "--out", "out"),
)  # fmt: skip


class Shuffled:
    """Workers in this process, which end their jobs in a random order."""

    slots = 3

    def __init__(self, setup: WorkerSetup) -> None:
        self.desk = Desk(setup)
        self.jobs: list[Job] = []
        self.done: list[str] = []
        self.order = random.Random(0)

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def finished(self) -> list[Finished]:
        job = self.jobs.pop(self.order.randrange(len(self.jobs)))
        self.done.append(job.key)
        return [self.desk.finished(job)]

    def close(self) -> None:
        self.jobs = []


def is_cost(path: Path) -> bool:
    return path.parent.name == "cost"


def costs(cache: Path) -> dict[str, float]:
    """The costs of cells in a cache, in seconds for an image."""
    paths = filter(is_cost, cache.rglob("*.safetensors"))
    return {path.name: read_artifact(path).meta["seconds_per_image"] for path in paths}


def cells(folder: Path) -> dict[str, bytes]:
    paths = (folder / "cells").rglob("*")
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def test_order_of_tasks_changes_no_outcome(
    bench: Callable[..., Command], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Randomized defenses, a cascade, projected sets, a substitute: the same files of cells."""
    made: list[Shuffled] = []

    def workers(_spec: object, setup: WorkerSetup, *_: object, **__: object) -> Shuffled:
        made.append(Shuffled(setup))
        return made[-1]

    common = ("run", "--config", tiny, "--device", "cpu", *GRID)
    with monkeypatch.context() as patch:
        patch.setattr("bench.commands.dispatch.start_workers", workers)
        two = bench(*common, "--cache", "two", "--executor", "local:processes=2:threads=1")
    assert two.code == 0, two.err
    outcomes = cells(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "dispatched")
    # Every artifact was made by a worker, and once.
    done = made[0].done
    stored = [path for path in (tmp_path / "two").rglob("*.safetensors") if not is_cost(path)]
    assert len(done) == len(set(done)) == len(stored)

    one = bench(*common, "--cache", "one", "--executor", "local:threads=1")
    assert one.code == 0, one.err
    assert len(outcomes) > 10
    assert cells(tmp_path / "out") == outcomes
    # Later plans know what every cell cost, however it was run.
    assert len(costs(tmp_path / "one")) > 3
    assert costs(tmp_path / "two").keys() == costs(tmp_path / "one").keys()
    assert all(0 < cost < 60 for cost in costs(tmp_path / "two").values())
