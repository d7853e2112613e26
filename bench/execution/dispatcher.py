"""The dispatcher: gives the tasks that steps of a run need to workers, wave by wave.

A step is a part of a run, such as the evaluation of a cell, that raises `Pending` for what is not
stored yet. It is taken again whenever its wave is done, until it needs nothing more.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections import deque
from collections.abc import Iterable, Iterator

from bench.errors import NotApplicable, PluginFault, StorageError
from bench.execution.asked import Asked, Waiting
from bench.execution.jobs import Finished
from bench.execution.shipping import job_of
from bench.execution.waves import WAVES, Progress
from bench.execution.workers import Workers
from bench.stages.context import DamagedArtifact
from bench.stages.failed_tasks import FailedTasks
from bench.stages.task import Task
from bench.sweep.demand import Demand, Pending
from bench.sweep.runner import Step
from bench.sweep.task_times import TaskTimes

_MOST_TRIES = 3
"""Number of times that a task is tried where its worker ends."""

_READY = 2
"""Number of tasks for each worker that are kept ready."""

logger = logging.getLogger("bench")


class Dispatcher:
    """Gives tasks to workers until the steps of a run need nothing more.

    Each task is done once, however many steps need it. No array is kept here.

    Args:
        workers: workers that do the tasks.
        demand: executor of the steps.
        failed: tasks that failed in this run; new ones are added.
        times: times of the tasks that workers have done; new ones are added. None for nowhere.

    Attributes:
        progress: the tasks so far.
    """

    def __init__(
        self,
        workers: Workers,
        demand: Demand,
        failed: FailedTasks,
        times: TaskTimes | None = None,
    ) -> None:
        self.progress = Progress()
        self._workers = workers
        self._demand = demand
        self._failed = failed
        self._times = times or TaskTimes()
        self._asked: dict[str, Asked] = {}
        self._made: set[str] = set()
        self._ready: list[tuple[int, int, str]] = []
        self._released: deque[Waiting] = deque()
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
        begun = map(Waiting, steps)
        while True:
            yield from self._advance(begun)
            if not self.progress.running:
                return
            for finished in self._workers.finished():
                self._end(finished)
                yield None

    def _advance(self, begun: Iterator[Waiting]) -> Iterator[Step]:
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

    def _needs_nothing(self, waiting: Waiting) -> bool:
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

    def _ask(self, pending: Pending, waiting: Waiting) -> None:
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

    def _asked_for(self, key: str, task: Task) -> Asked:
        """A task among those that are asked for; a new one is queued."""
        if key not in self._asked:
            self._asked[key] = Asked(task)
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
        self.progress.seconds[asked.task.kind] += finished.seconds
        if finished.ending == "made":
            self._times.add(finished.key, finished.seconds)

        if finished.ending == "stopped":
            raise StorageError(finished.text)
        if finished.ending == "damaged":
            self._repair(finished, asked)
            return
        if finished.ending == "lost":
            asked.deaths += 1
            if asked.deaths < _MOST_TRIES:
                logger.warning("%s; it is done again", asked.death(finished))
                self._queue(finished.key)
                return

        self._close(finished.key, asked.fault(finished))

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

    def _repair(self, finished: Finished, asked: Asked) -> None:
        """Have an artifact made again that a job found damaged, then do the job again.

        Raises:
            DamagedArtifact: it was made again already, or nothing is known of it.
        """
        key = finished.text
        damage = DamagedArtifact(
            key, f"an artifact that {asked.name} needs is damaged: start the command again"
        )
        if key in asked.damaged:
            raise damage

        asked.damaged.add(key)
        try:
            self._failed.check(key)
            if key in self._made:  # another job found it first
                self._queue(finished.key)
                return
            if key not in self._asked:
                self._demand.repair(damage)
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
