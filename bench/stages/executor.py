"""Executors, which turn tasks into artifacts; the local one runs them in this process.

Another engine is another class with the same methods; the stages stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from bench.errors import NotApplicable, PluginFault
from bench.failures import device_memory_error
from bench.machine.device_lock import shared_use
from bench.machine.threads import thread_count
from bench.plugins.reads import recorded
from bench.stages.context import DamagedArtifact, TaskContext
from bench.stages.failed_tasks import FailedTasks
from bench.stages.task import Task
from bench.stages.undeclared import check_unchanged, warn_of_reads
from bench.store.artifacts import Artifact, Meta, Tensors


class Executor(Protocol):
    """Anything that turns a task into its artifact."""

    def artifact(self, task: Task) -> Artifact:
        """The task's artifact, verified; taken from the cache, or made now.

        Raises:
            PluginFault: the task failed; asking again in the same run fails at once with the same
                reason.
        """

    def digest(self, task: Task) -> str:
        """The digest of the task's artifact, which is made now if the cache lacks it.

        Raises:
            PluginFault: the task failed.
        """

    def repair(self, damage: DamagedArtifact) -> None:
        """Make a damaged artifact again, whose digest this executor gave.

        Raises:
            DamagedArtifact: it gave no digest of that artifact.
            PluginFault: the task failed.
        """


class LocalExecutor:
    """Runs tasks in this process, one at a time, unless the cache has their artifacts.

    A task that runs may ask for the artifact of another one, which then runs inside it.

    Args:
        context: inputs of the tasks, with the cache.
        failed: tasks that failed in this run, which other executors may share; None for none yet.
        threads: number of processor threads of a task, on which the last bits of sums depend; None
            for PyTorch's own choice.
    """

    def __init__(
        self,
        context: TaskContext,
        failed: FailedTasks | None = None,
        threads: int | None = None,
    ) -> None:
        self._context = context
        self._failed = FailedTasks() if failed is None else failed
        self._threads = threads
        self._unread: dict[str, Task] = {}
        self._reported: set[tuple[Path, Path]] = set()

    def artifact(self, task: Task) -> Artifact:
        """See `Executor.artifact`. A failure is remembered for the run and never cached."""
        self._failed.check(task.key)
        try:
            artifact, _ = self._context.store.get_or_make(
                task.kind, task.key, lambda: self._run(task)
            )
        except (PluginFault, NotApplicable) as fault:
            self._failed.add(task.key, fault)
            raise

        return artifact

    def digest(self, task: Task) -> str:
        """See `Executor.digest`. Of a stored artifact only the header is read."""
        stored = self._context.store.digest(task.kind, task.key)
        if stored is None:
            return self.artifact(task).digest

        self._unread[task.key] = task
        return stored

    def repair(self, damage: DamagedArtifact) -> None:
        """See `Executor.repair`. Each artifact is made again once at most."""
        damaged = self._unread.pop(damage.key, None)
        if damaged is None:
            raise damage

        self.artifact(damaged)

    def _run(self, task: Task) -> tuple[Tensors, Meta]:
        """Run the task; inputs that turn out to be damaged are made again first.

        Where an attack used up the memory of the device, beyond a call of the model, the task runs
        again from its beginning with half as many images of the model at once.
        """
        sizes = self._context.sizes
        while True:
            sizes.begin()
            try:
                context = self._context
                unchanged, executed = context.networks_unchanged(), context.executed_by(self)
                shared, threads = shared_use(context.device), thread_count(self._threads)
                with shared, threads, recorded() as reads, unchanged, executed:
                    result = task.run(context)
            except DamagedArtifact as damage:
                self.repair(damage)
            except PluginFault as fault:
                if device_memory_error(fault) is None or not sizes.halve():
                    raise
            else:
                check_unchanged(task, reads)
                warn_of_reads(task, reads, self._reported)
                return result
