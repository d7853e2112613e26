"""The times of tasks that workers did: each is charged once, to the first that uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from bench.stages.context import TaskContext
from bench.stages.task import Task
from bench.store.artifacts import Meta, Tensors
from bench.sweep.task_times import ChargingExecutor, TaskTimes


@dataclass(frozen=True)
class Numbered(Task):
    kind: ClassVar[str] = "predictions"
    number: int

    def identity(self) -> Mapping[str, Any]:
        return {"number": self.number}

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        raise NotImplementedError


@dataclass(frozen=True)
class Network(Numbered):
    kind: ClassVar[str] = "network"


FIRST, SECOND, THIRD = (Numbered(number) for number in range(3))


@pytest.fixture
def times() -> TaskTimes:
    """Times of the first two tasks."""
    made = TaskTimes()
    made.add(FIRST.key, 2.0)
    made.add(SECOND.key, 5.0)
    return made


def test_each_task_is_charged_to_its_first_user(times: TaskTimes) -> None:
    times.use(FIRST)
    times.use(FIRST)
    assert times.charged() == 2.0
    times.use(FIRST)
    times.use(SECOND)
    assert times.charged() == 5.0
    assert times.charged() == 0.0


def test_what_an_earlier_run_made_leaves_the_cost_of_its_first_user_unknown(
    times: TaskTimes,
) -> None:
    times.use(FIRST)
    times.use(THIRD)
    assert times.charged() is None
    times.use(SECOND)
    times.use(THIRD)
    assert times.charged() == 5.0


def test_a_network_may_be_of_an_earlier_run(times: TaskTimes) -> None:
    """Plans tell the time of cells without training."""
    times.use(Network(0))
    times.use(FIRST)
    assert times.charged() == 2.0


def test_an_executor_charges_for_arrays_and_digests(times: TaskTimes) -> None:
    asked: list[object] = []
    inner: Any = SimpleNamespace(artifact=asked.append, digest=asked.append, repair=asked.append)
    executor = ChargingExecutor(inner, times)
    executor.artifact(FIRST)
    executor.digest(SECOND)
    executor.repair("damage")  # type: ignore[arg-type]
    assert asked == [FIRST, SECOND, "damage"]
    assert times.charged() == 7.0
