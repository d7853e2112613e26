"""The times that workers took for tasks, of which each cell is charged with its own."""

from __future__ import annotations

from bench.stages.context import DamagedArtifact
from bench.stages.executor import Executor
from bench.stages.task import Task
from bench.store.artifacts import Artifact


class TaskTimes:
    """The seconds that workers took for the tasks of a run, charged to those who use them first.

    The first cell that uses an artifact is the one that would have made it in a run by one process,
    so that the cost of a cell is the same however a run was executed.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._used: set[str] = set()
        self._charged = 0.0
        self._is_whole = True

    def add(self, key: str, seconds: float) -> None:
        """Note that a worker took some seconds for a task.

        Args:
            key: content key of the task.
            seconds: time of the worker.
        """
        self._seconds[key] = seconds

    def use(self, task: Task) -> None:
        """Charge the present user with a task, if it is the first one."""
        if task.key in self._used:
            return

        self._used.add(task.key)
        self._charged += self._seconds.get(task.key, 0.0)
        # What an earlier run has left in the cache took time that nobody knows any more.
        self._is_whole &= task.key in self._seconds or task.kind == "network"

    def charged(self) -> float | None:
        """The seconds that were charged since the last call, after which the next user begins.

        None where the user came upon artifacts that no worker of this run has made.
        """
        seconds = self._charged if self._is_whole else None
        self._charged, self._is_whole = 0.0, True

        return seconds


class ChargingExecutor:
    """An executor that charges those who ask it for artifacts. See `bench.stages.executor`.

    Args:
        executor: executor that has the artifacts.
        times: times of the tasks that workers have done.
    """

    def __init__(self, executor: Executor, times: TaskTimes) -> None:
        self._executor = executor
        self._times = times

    def artifact(self, task: Task) -> Artifact:
        """See `Executor.artifact`."""
        self._times.use(task)
        return self._executor.artifact(task)

    def digest(self, task: Task) -> str:
        """See `Executor.digest`."""
        self._times.use(task)
        return self._executor.digest(task)

    def repair(self, damage: DamagedArtifact) -> None:
        """See `Executor.repair`."""
        self._executor.repair(damage)
