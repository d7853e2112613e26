"""The dispatcher: gives the tasks that steps of a run need to workers, wave by wave.

A step is a part of a run, such as the evaluation of a cell, that raises `Pending` for what is not
stored yet. It is taken again whenever its wave is done, until it needs nothing more.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bench.errors import NotApplicable, PluginFault, StorageError
from bench.execution.jobs import Finished
from bench.execution.shipping import job_of
from bench.execution.workers import Workers
from bench.stages.context import DamagedArtifact
from bench.stages.failed_tasks import FailedTasks
from bench.stages.task import Task
from bench.sweep.demand import Demand, Pending
from bench.sweep.runner import Step

WAVES = ("network", "adversarial", "predictions", "probes")
"""Kinds of tasks in the order of the waves: what others need is made first."""

_MOST_TRIES = 3
"""Number of times that a task is tried where its worker ends or an input is damaged."""

_READY = 2
"""Number of tasks for each worker that are kept ready."""

logger = logging.getLogger("bench")


@dataclass
class Progress:
    """The tasks of a run so far.

    Attributes:
        known: number of tasks that steps have asked for, by kind.
        done: number of those that have ended, by kind.
        running: number of tasks that workers do now.
        failed: number of tasks that failed.
    """

    known: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    running: int = 0
    failed: int = 0


@dataclass
class _Asked:
    """A task that steps wait for.

    Attributes:
        task: the task.
        steps: steps that wait for it.
        users: keys of asked tasks that came upon it as damaged, and are done again after it.
        tries: number of workers that it was given to.
    """

    task: Task
    steps: list[_Waiting] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    tries: int = 0


@dataclass
class _Waiting:
    """A step of a run, and how many tasks it waits for."""

    step: Step
    missing: int = 0


class Dispatcher:
    """Gives tasks to workers until the steps of a run need nothing more.

    Each task is done once, however many steps need it. No array is kept here.

    Args:
        workers: workers that do the tasks.
        demand: executor of the steps.
        failed: tasks that failed in this run; new ones are added.

    Attributes:
        progress: the tasks so far.
    """

    def __init__(self, workers: Workers, demand: Demand, failed: FailedTasks) -> None:
        self.progress = Progress()
        self._workers = workers
        self._demand = demand
        self._failed = failed
        self._asked: dict[str, _Asked] = {}
        self._made: set[str] = set()
        self._ready: list[tuple[int, int, str]] = []
        self._released: deque[_Waiting] = deque()
        self._order = itertools.count()
        self._said: set[str] = set()

    def complete(self, steps: Iterable[Step]) -> Iterator[Step | None]:
        """Take steps until none needs anything more.

        Args:
            steps: steps of the run. They are begun in their order, each as soon as a worker would
                else have nothing to do.

        Yields:
            each step that needs nothing more, in any order; None whenever a task has ended.

        Raises:
            StorageError: a worker cannot work, or an artifact cannot be kept.
        """
        begun = map(_Waiting, steps)
        while True:
            yield from self._advance(begun)
            if not self.progress.running:
                return
            for finished in self._workers.finished():
                self._end(finished)
                yield None

    def _advance(self, begun: Iterator[_Waiting]) -> Iterator[Step]:
        """Take steps until enough tasks are ready; yields those that need nothing.

        However many steps a task releases, the workers get something to do after each.
        """
        self._submit()
        while len(self._ready) < _READY * self._workers.slots:
            waiting = self._released.popleft() if self._released else next(begun, None)
            if waiting is None:
                return
            if self._needs_nothing(waiting):
                yield waiting.step
            self._submit()

    def _needs_nothing(self, waiting: _Waiting) -> bool:
        """Take a step and ask for the tasks that it turns out to need; whether there are none."""
        try:
            self._take(waiting.step)
        except Pending as pending:
            self._ask(pending, waiting)
            return False
        except (PluginFault, NotApplicable):  # the run comes upon it again, and records it
            return True

        return True

    def _take(self, step: Step) -> None:
        """Take a step; artifacts that turn out to be damaged are asked for again."""
        try:
            step()
        except DamagedArtifact as damage:
            self._demand.repair(damage)

    def _ask(self, pending: Pending, waiting: _Waiting) -> None:
        """Have a step wait for tasks.

        Raises:
            StorageError: one was done already, and its artifact is gone.
        """
        waiting.missing = len(pending.tasks)
        for key, task in pending.tasks.items():
            if key in self._made:
                raise StorageError(
                    f"{task.title} has vanished from the cache: start the command again"
                )
            self._asked_for(key, task).steps.append(waiting)

    def _asked_for(self, key: str, task: Task) -> _Asked:
        """A task among those that are asked for; a new one is queued."""
        if key not in self._asked:
            self._asked[key] = _Asked(task)
            self.progress.known[task.kind] += 1
            self._queue(key)

        return self._asked[key]

    def _queue(self, key: str) -> None:
        wave = WAVES.index(self._asked[key].task.kind)
        heapq.heappush(self._ready, (wave, next(self._order), key))

    def _submit(self) -> None:
        """Give tasks to the workers that have none, those of the first wave first."""
        while self._ready and self.progress.running < self._workers.slots:
            asked = self._asked[heapq.heappop(self._ready)[-1]]
            asked.tries += 1
            self._workers.submit(job_of(asked.task))
            self.progress.running += 1

    def _end(self, finished: Finished) -> None:
        """Note the end of a job, and what is to be done next.

        Raises:
            StorageError: the worker cannot work, or an input is damaged that cannot be made again.
        """
        self.progress.running -= 1
        self._log(finished)
        asked = self._asked[finished.key]

        if finished.ending == "stopped":
            raise StorageError(finished.text)
        if finished.ending == "damaged" and asked.tries < _MOST_TRIES:
            self._repair(finished)
        elif finished.ending == "lost" and asked.tries < _MOST_TRIES:
            logger.warning("%s: %s; it is done again", asked.task.title, finished.text)
            self._queue(finished.key)
        else:
            self._close(finished.key, _fault(finished, asked))

    def _close(self, key: str, fault: PluginFault | NotApplicable | None) -> None:
        """Note that a task is done, or has failed, and release the steps that wait for it alone.

        Tasks that found its artifact damaged are done again, or fail as it did.
        """
        asked = self._asked.pop(key)
        self.progress.done[asked.task.kind] += 1
        self.progress.failed += isinstance(fault, PluginFault)
        if fault is None:
            self._made.add(key)
        else:
            self._failed.add(key, fault)

        for user in asked.users:
            if fault is None:
                self._queue(user)
            else:
                self._close(user, fault)
        for waiting in asked.steps:
            waiting.missing -= 1
            if not waiting.missing:
                self._released.append(waiting)

    def _repair(self, finished: Finished) -> None:
        """Have an artifact made again that a job found damaged, then do the job again.

        Raises:
            DamagedArtifact: nothing is known of the artifact.
        """
        key = finished.text
        if key in self._made:  # another job found it first
            self._queue(finished.key)
            return

        try:
            self._failed.check(key)
            if key not in self._asked:
                message = "an artifact is damaged: start the command again"
                self._demand.repair(DamagedArtifact(key, message))
        except Pending as pending:
            self._asked_for(key, pending.tasks[key])
        except (PluginFault, NotApplicable) as fault:  # another job found it first, in vain
            self._close(finished.key, fault)
            return

        self._asked[key].users.append(finished.key)

    def _log(self, finished: Finished) -> None:
        """Log what a worker logged; the same line of several workers once."""
        for message in finished.messages:
            if message.text not in self._said:
                self._said.add(message.text)
                logging.getLogger(message.logger).log(message.level, "%s", message.text)


def _fault(finished: Finished, asked: _Asked) -> PluginFault | NotApplicable | None:
    """Why a task failed; None where it was done."""
    if finished.ending == "made":
        return None
    if finished.ending == "failed":
        return PluginFault(finished.text)
    if finished.ending == "not applicable":
        return NotApplicable(finished.text)

    is_damaged = finished.ending == "damaged"
    reason = "an artifact that it needs is damaged" if is_damaged else finished.text
    return PluginFault(f"{asked.task.title}: given up after {asked.tries} tries: {reason}")
