"""Who runs tasks. Today one local process; another engine takes its place without a change to a stage."""

from __future__ import annotations

from typing import Protocol

from bench.artifacts import Artifact, Meta, Tensors
from bench.errors import PluginFault
from bench.occupancy import working
from bench.stages.base import Lab, Task


class Executor(Protocol):
    """Anything that turns a task into its artifact."""

    def get(self, task: Task) -> Artifact:
        """The task's artifact, from the cache or made now.

        Raises:
            PluginFault: the task failed; asking again in the same run fails at once with the same reason.
        """


class LocalExecutor:
    """Runs a task here and now, unless the cache has its artifact."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._failed: dict[str, PluginFault] = {}

    def get(self, task: Task) -> Artifact:
        """See `Executor.get`. A failure is remembered for the run and never cached."""
        if task.key in self._failed:
            raise self._failed[task.key]
        try:
            artifact, _ = self._lab.store.get_or_make(task.kind, task.key, lambda: self._run(task))
        except PluginFault as fault:
            self._failed[task.key] = fault
            raise
        return artifact

    def _run(self, task: Task) -> tuple[Tensors, Meta]:
        with working(self._lab.device):
            return task.run(self._lab)
