from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from bench.errors import PluginFault, StorageError
from bench.execution.dispatcher import Dispatcher
from bench.execution.jobs import Finished, Job
from bench.stages.context import TaskContext
from bench.stages.failed_tasks import FailedTasks
from bench.stages.task import Task
from bench.store.artifacts import ArtifactStore, Meta, Tensors
from bench.sweep.demand import Demand, together


@dataclass(frozen=True)
class Numbered(Task):
    kind: ClassVar[str] = "probes"
    number: int

    def identity(self) -> Mapping[str, Any]:
        return {"number": self.number}

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        raise NotImplementedError


class Scripted:
    """Workers that end each job as a script says; without a word it is made."""

    slots = 2

    def __init__(self, store: ArtifactStore, script: dict[str, str]) -> None:
        self.store, self.script = store, script
        self.tries: Counter[str] = Counter()
        self.running: list[Job] = []

    def submit(self, job: Job) -> None:
        self.tries[job.key] += 1
        self.running.append(job)
        assert len(self.running) <= self.slots

    def finished(self) -> list[Finished]:
        job = self.running.pop(0)
        ending = self.script.get(job.key, "made")
        if ending == "made":
            task = next(task for task in TASKS if task.key == job.key)
            meta = {"identity": dict(task.identity())}
            self.store.get_or_make(job.kind, job.key, lambda: ({"x": np.zeros(1)}, meta))
        return [Finished(job.key, ending, "why")]  # type: ignore[arg-type]

    def close(self) -> None:
        self.running = []


TASKS = [Numbered(number) for number in range(3)]


def dispatched(tmp_path: Path, script: dict[str, str]) -> tuple[Scripted, FailedTasks, int]:
    """Two steps: the first needs tasks 0 and 1 and then 2, the other task 0."""
    store, failed = ArtifactStore(tmp_path), FailedTasks()
    workers, demand = Scripted(store, script), Demand(store, failed)

    def both() -> None:
        together(
            lambda: {0: demand.digest(TASKS[0])}, lambda: {1: demand.artifact(TASKS[1]).digest}
        )
        demand.digest(TASKS[2])

    dispatcher = Dispatcher(workers, demand, failed)
    steps = dispatcher.complete([both, lambda: demand.digest(TASKS[0])])
    return workers, failed, sum(step is not None for step in steps)


def test_each_task_is_done_once_and_every_step_completes(tmp_path: Path) -> None:
    workers, _, complete = dispatched(tmp_path, {})
    assert workers.tries == {task.key: 1 for task in TASKS}
    assert complete == 2


def test_failed_task_is_not_tried_again(tmp_path: Path) -> None:
    workers, failed, complete = dispatched(tmp_path, {TASKS[1].key: "failed"})
    assert workers.tries == {task.key: 1 for task in TASKS[:2]}
    assert complete == 2
    with pytest.raises(PluginFault, match="why"):
        failed.check(TASKS[1].key)


def test_task_whose_worker_ends_three_times_fails(tmp_path: Path) -> None:
    workers, failed, complete = dispatched(tmp_path, {TASKS[0].key: "lost"})
    assert workers.tries[TASKS[0].key] == 3
    assert complete == 2
    with pytest.raises(PluginFault, match="why; given up after 3 tries"):
        failed.check(TASKS[0].key)


class Damaging(Scripted):
    """Workers that find an artifact damaged which the third task needs."""

    def __init__(self, store: ArtifactStore, script: dict[str, str], finds: int) -> None:
        super().__init__(store, script)
        self.finds = finds

    def finished(self) -> list[Finished]:
        if self.running[0].key == TASKS[2].key and self.tries[TASKS[2].key] <= self.finds:
            job = self.running.pop(0)
            return [Finished(job.key, "damaged", TASKS[0].key)]
        return super().finished()


def repaired(tmp_path: Path, script: dict[str, str], finds: int) -> tuple[Damaging, FailedTasks]:
    """A run in which task 0 is stored, and task 2 finds it damaged some times."""
    store, failed = ArtifactStore(tmp_path), FailedTasks()
    meta = {"identity": dict(TASKS[0].identity())}
    store.get_or_make(TASKS[0].kind, TASKS[0].key, lambda: ({"x": np.zeros(1)}, meta))
    workers, demand = Damaging(store, script, finds), Demand(store, failed)

    def step() -> None:
        demand.digest(TASKS[0])
        demand.digest(TASKS[2])

    assert [each for each in Dispatcher(workers, demand, failed).complete([step]) if each] == [step]
    return workers, failed


def test_artifact_that_is_found_damaged_is_made_again_once(tmp_path: Path) -> None:
    workers, _ = repaired(tmp_path, {}, finds=1)
    assert workers.tries == {TASKS[0].key: 1, TASKS[2].key: 2}


def test_artifact_that_is_damaged_again_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="needs is damaged: start the command again"):
        repaired(tmp_path, {}, finds=2)


def test_fault_of_a_repair_is_the_fault_of_its_user(tmp_path: Path) -> None:
    workers, failed = repaired(tmp_path, {TASKS[0].key: "failed"}, finds=1)
    assert workers.tries == {TASKS[0].key: 1, TASKS[2].key: 1}
    with pytest.raises(PluginFault, match=r"^why$"):
        failed.check(TASKS[2].key)


def test_long_texts_are_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Verbose(Scripted):
        def finished(self) -> list[Finished]:
            job = self.running.pop(0)
            return [Finished(job.key, "lost", "a\n\x1b[31m" * 5_000)]

    store, failed = ArtifactStore(tmp_path), FailedTasks()
    demand = Demand(store, failed)
    dispatcher = Dispatcher(Verbose(store, {}), demand, failed)
    assert list(dispatcher.complete([lambda: demand.digest(TASKS[0])]))
    with pytest.raises(PluginFault) as fault:
        failed.check(TASKS[0].key)
    for text in (str(fault.value), *(record.getMessage() for record in caplog.records)):
        assert len(text) < 500
        assert "\n" not in text
        assert "\x1b" not in text
