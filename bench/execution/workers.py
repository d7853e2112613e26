"""The contract of workers, which do the jobs of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bench.execution.jobs import Finished, Job


class Workers(Protocol):
    """Processes that do jobs, on this machine or on others."""

    @property
    def slots(self) -> int:
        """The number of jobs that are done at once, at least 1; on a cluster it changes."""

    def submit(self, job: Job) -> None:
        """Start a job; fewer than `slots` may be running."""

    def finished(self) -> Sequence[Finished]:
        """The jobs that have ended since the last call; waits until there is one.

        The artifact of a job that was made lies in the run's store by then.
        """

    def close(self) -> None:
        """Drop what is running and end the processes; calling it again does nothing."""
