"""The demand of cells: the tasks that they need next, found by the code that evaluates them.

A cell is evaluated by an executor that makes nothing. What is stored, it gives; the first task that
is missing ends the part of the evaluation that needs it, and the other parts go on, so that one
pass finds every task whose inputs are there: the cell's next wave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import TypeVar

from bench.errors import NotApplicable, PluginFault
from bench.stages.context import DamagedArtifact
from bench.stages.failed_tasks import FailedTasks
from bench.stages.task import Task
from bench.store.artifacts import Artifact, ArtifactStore

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class Pending(Exception):
    """Tasks whose artifacts are not stored yet.

    Attributes:
        tasks: tasks by key.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__(f"{len(tasks)} tasks are not done yet")
        self.tasks = tasks


class Demand:
    """An executor that makes nothing, and raises `Pending` for what is not stored.

    Args:
        store: artifact cache.
        failed: tasks that failed in this run.
    """

    def __init__(self, store: ArtifactStore, failed: FailedTasks) -> None:
        self._store = store
        self._failed = failed
        self._unread: dict[str, Task] = {}

    def artifact(self, task: Task) -> Artifact:
        """The task's artifact, of which only the digest is read until more is looked at.

        Its arrays and its description raise `Pending` where they turn out to be damaged.

        Raises:
            Pending: it is not stored.
            PluginFault: the task has failed.
            NotApplicable: the task has turned out to make no sense.
        """
        digest = self.digest(task)
        whole = cache(partial(self._read, task))

        return Artifact(_Later(lambda: whole().tensors), _Later(lambda: whole().meta), digest)

    def digest(self, task: Task) -> str:
        """The digest of the task's artifact, of which only the header is read.

        Raises:
            Pending: it is not stored.
            PluginFault: the task has failed.
            NotApplicable: the task has turned out to make no sense.
        """
        self._failed.check(task.key)
        stored = self._store.digest(task.kind, task.key)
        if stored is None:
            raise Pending({task.key: task})

        self._unread[task.key] = task
        return stored

    def repair(self, damage: DamagedArtifact) -> None:
        """Ask for a damaged artifact again, once at most.

        Raises:
            DamagedArtifact: this executor gave no digest of it.
            Pending: always else.
        """
        damaged = self._unread.pop(damage.key, None)
        if damaged is None:
            raise damage

        raise Pending({damage.key: damaged})

    def _read(self, task: Task) -> Artifact:
        """The whole artifact, verified.

        Raises:
            Pending: it is damaged, or is gone.
        """
        stored = self._store.load(task.kind, task.key)
        self._unread.pop(task.key, None)
        if stored is None:
            raise Pending({task.key: task})

        return stored


class _Later(Mapping[str, T]):
    """A mapping that is made when it is first looked at.

    Args:
        make: function that makes it.
    """

    def __init__(self, make: Callable[[], Mapping[str, T]]) -> None:
        self._make = make

    def __getitem__(self, name: str) -> T:
        return self._make()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._make())

    def __len__(self) -> int:
        return len(self._make())


def together(*parts: Callable[[], Mapping[K, V]]) -> dict[K, V]:
    """What independent parts of an evaluation give, in one mapping.

    Under `Demand` the tasks that all of them need next are asked for at once. Parts behind one that
    fails are not looked at, as they would not be reached by an executor that makes what is missing.

    Args:
        parts: functions that give named results; none needs a result of another.

    Raises:
        Pending: tasks of the parts are not done yet.
        PluginFault: a plugin raised or broke its contract.
        NotApplicable: the model lacks something that is needed.
    """
    results: dict[K, V] = {}
    missing: dict[str, Task] = {}

    for part in parts:
        try:
            results.update(part())
        except Pending as pending:
            missing.update(pending.tasks)
        except (PluginFault, NotApplicable):
            if not missing:
                raise
            break

    if missing:
        raise Pending(missing)
    return results
