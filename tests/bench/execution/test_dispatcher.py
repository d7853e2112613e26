from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from bench.errors import NotApplicable, PluginFault, StorageError
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
    """Workers that end each job as a script says, a word for each try; without one it is made.

    `damaged:KEY` says that the artifact of that key was found damaged.
    """

    slots = 2

    def __init__(self, store: ArtifactStore, script: Mapping[str, Sequence[str]]) -> None:
        self.store, self.script = store, script
        self.tries: Counter[str] = Counter()
        self.running: list[Job] = []

    def submit(self, job: Job) -> None:
        self.tries[job.key] += 1
        self.running.append(job)
        assert len(self.running) <= self.slots

    def finished(self) -> list[Finished]:
        job = self.running.pop(0)
        words = self.script.get(job.key, ())
        tried = self.tries[job.key]
        ending, _, text = (words[tried - 1] if tried <= len(words) else "made").partition(":")
        if ending == "made":
            make(self.store, job.kind, job.key)
        return [Finished(job.key, ending, text or "why")]  # type: ignore[arg-type]

    def close(self) -> None:
        self.running = []


TASKS = [Numbered(number) for number in range(3)]


def make(store: ArtifactStore, kind: str, key: str) -> None:
    task = next(task for task in TASKS if task.key == key)
    meta = {"identity": dict(task.identity())}
    store.get_or_make(kind, key, lambda: ({"x": np.zeros(1)}, meta))


def damage(store: ArtifactStore, task: Task) -> None:
    """Change the last byte of an artifact, which leaves its header sound."""
    path = store.path(task.kind, task.key)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def dispatched(
    tmp_path: Path, script: Mapping[str, Sequence[str]]
) -> tuple[Scripted, FailedTasks, int]:
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
    workers, failed, complete = dispatched(tmp_path, {TASKS[1].key: ["failed"]})
    assert workers.tries == {task.key: 1 for task in TASKS[:2]}
    assert complete == 2
    with pytest.raises(PluginFault, match="why"):
        failed.check(TASKS[1].key)


def test_task_whose_worker_ends_three_times_fails(tmp_path: Path) -> None:
    workers, failed, complete = dispatched(tmp_path, {TASKS[0].key: ["lost"] * 3})
    assert workers.tries[TASKS[0].key] == 3
    assert complete == 2
    with pytest.raises(PluginFault, match="why; given up after 3 tries"):
        failed.check(TASKS[0].key)


@pytest.mark.parametrize(
    ("ending", "kind", "counted"),
    [("failed", PluginFault, 1), ("not applicable", NotApplicable, 0)],
)
def test_what_makes_no_sense_is_no_failure(
    tmp_path: Path, ending: str, kind: type[Exception], counted: int
) -> None:
    store, failed = ArtifactStore(tmp_path), FailedTasks()
    demand = Demand(store, failed)
    dispatcher = Dispatcher(Scripted(store, {TASKS[0].key: [ending]}), demand, failed)

    assert any(dispatcher.complete([lambda: demand.digest(TASKS[0])]))
    assert dispatcher.progress.failed == counted
    with pytest.raises(kind, match="why"):
        failed.check(TASKS[0].key)


class TestDamage:
    """A stored artifact, task 0, whose content is damaged; task 1 depends on it."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        store = ArtifactStore(tmp_path)
        make(store, TASKS[0].kind, TASKS[0].key)
        damage(store, TASKS[0])
        return store

    def complete(
        self, store: ArtifactStore, script: Mapping[str, Sequence[str]], *users: Task
    ) -> tuple[Scripted, FailedTasks, int]:
        failed = FailedTasks()
        workers, demand = Scripted(store, script), Demand(store, failed)

        def step(user: Task) -> None:
            demand.digest(TASKS[0])
            demand.artifact(user).tensors["x"]

        steps = Dispatcher(workers, demand, failed).complete(
            [partial(step, each) for each in users]
        )
        return workers, failed, sum(step is not None for step in steps)

    def test_is_found_when_the_arrays_are_looked_at(self, store: ArtifactStore) -> None:
        workers, _, complete = self.complete(store, {}, TASKS[0])
        assert workers.tries == {TASKS[0].key: 1}
        assert complete == 1

    def test_is_mended_once_for_all_jobs_that_find_it(self, store: ArtifactStore) -> None:
        found = [f"damaged:{TASKS[0].key}"]
        script = {TASKS[1].key: found, TASKS[2].key: found}
        workers, _, complete = self.complete(store, script, TASKS[1], TASKS[2])
        assert workers.tries == {TASKS[0].key: 1, TASKS[1].key: 2, TASKS[2].key: 2}
        assert complete == 2

    def test_that_cannot_be_mended_fails_its_users_with_the_same_fault(
        self, store: ArtifactStore
    ) -> None:
        found = [f"damaged:{TASKS[0].key}"]
        script = {TASKS[0].key: ["failed"], TASKS[1].key: found, TASKS[2].key: found}
        workers, failed, complete = self.complete(store, script, TASKS[1], TASKS[2])
        assert workers.tries == {task.key: 1 for task in TASKS}
        assert complete == 2
        for task in TASKS:
            with pytest.raises(PluginFault, match=r"^why$"):
                failed.check(task.key)

    def test_that_stays_ends_the_run_as_it_does_in_one_process(self, store: ArtifactStore) -> None:
        script = {TASKS[1].key: [f"damaged:{TASKS[0].key}"] * 3}
        with pytest.raises(StorageError, match="needs is damaged: start the command again"):
            self.complete(store, script, TASKS[1])


def test_workers_have_work_while_many_steps_go_on(tmp_path: Path) -> None:
    """A hundred steps wait for one task: what the first of them needs next is given out at once."""
    store, failed = ArtifactStore(tmp_path), FailedTasks()
    workers, demand = Scripted(store, {}), Demand(store, failed)
    running: list[int] = []

    def step() -> None:
        running.append(len(workers.running))
        demand.digest(TASKS[0])
        demand.digest(TASKS[1])

    dispatcher = Dispatcher(workers, demand, failed)
    assert sum(step is not None for step in dispatcher.complete([step] * 100)) == 100
    assert running[100:102] == [0, 1]


def test_arrays_are_read_once_a_step_and_only_where_they_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(tmp_path)
    make(store, TASKS[0].kind, TASKS[0].key)
    reads: list[str] = []
    load = store.load
    monkeypatch.setattr(store, "load", lambda kind, key: (reads.append(key), load(kind, key))[1])

    artifact = Demand(store, FailedTasks()).artifact(TASKS[0])
    assert artifact.digest == store.digest(TASKS[0].kind, TASKS[0].key)
    assert reads == []
    assert "x" in artifact.tensors
    assert artifact.meta["identity"] == TASKS[0].identity()
    assert reads == [TASKS[0].key]


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
