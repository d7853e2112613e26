"""The sweep: cell after cell, then latency alone.

A failing cell is recorded and the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bench.errors import NotApplicable, PluginFault
from bench.latency.stopwatch import Stopwatch, subjects, timing_line
from bench.machine.device_lock import exclusive_use
from bench.records.cell import CellRecord, Status
from bench.records.folder import RunFolder
from bench.records.pipeline import Pipeline
from bench.records.timing import Subject, Timing
from bench.run.cell_tasks import CellResult, CellTasks
from bench.run.config import RunConfig
from bench.run.grid import Cell, Grid
from bench.run.plan import Plan, Planner
from bench.stages.context import TaskContext
from bench.stages.crafting import described
from bench.stages.executor import Executor
from bench.stages.references import CellNetworks

logger = logging.getLogger("bench")


class Runner:
    """Runs a grid into a folder."""

    def __init__(
        self,
        grid: Grid,
        config: RunConfig,
        context: TaskContext,
        executor: Executor,
        folder: RunFolder,
    ) -> None:
        self.grid, self.config, self.context, self.folder = grid, config, context, folder
        self._tasks = CellTasks(executor, context, config)

    def plan(self) -> Plan:
        """Count what there is to do; nothing is computed."""
        return Planner(self.grid, self._tasks, self.context).plan(
            lambda cell: self._recorded(cell) is not None
        )

    def run(self, environment: str) -> Iterator[CellRecord]:
        """Run every cell and yield its record as soon as it is written.

        Args:
            environment: id of this machine's environment in the folder.

        Raises:
            StorageError: the disk is full or the folder not writable; earlier results are intact.
        """
        for cell in self.grid.cells():
            recorded = self._recorded(cell)
            if recorded:
                yield recorded
                continue
            yield self._evaluate(cell, environment)

    def time(self, environment: str) -> int:
        """Measure latency, round by round, with nothing else running: no live display, no other
        work on the device.

        Args:
            environment: id of this machine's environment in the folder.

        Returns:
            how many timings failed although the network was there; each is told with its reason.

        Raises:
            RequestError: an unknown engine or precision.
        """
        cells = self._representatives()
        wanted = list(subjects(self.config.latency, list(cells), str(self.context.device)))
        missing = [subject for subject in wanted if not self._timed(subject, environment)]
        if not missing:
            return 0
        stopwatch = Stopwatch(self.context, self.config.latency)
        failed, told_of = 0, set[str]()
        for done, subject in enumerate(missing, start=1):
            timing = replace(self._time(stopwatch, subject, cells), environment=environment)
            self.folder.save_timing(timing)
            failed += timing.status == "failed"
            if timing.status == "ok":
                logger.info("latency %d of %d: %s", done, len(missing), timing_line(timing))
            elif timing.reason not in told_of:
                told_of.add(timing.reason)
                logger.warning("not timed at batch size %d: %s", subject.batch_size, timing.reason)
        return failed

    def _time(
        self, stopwatch: Stopwatch, subject: Subject, cells: Mapping[Pipeline, Cell]
    ) -> Timing:
        """Measure one timing, its networks trained or loaded first."""
        try:
            networks = self._tasks.networks(cells[subject.pipeline])
            split = self.context.split(subject.pipeline.dataset, self.config.n)
            with exclusive_use(self.context.device):
                return stopwatch.time(subject, networks, split)
        except NotApplicable as reason:
            return Timing(subject, "skipped", str(reason))
        except PluginFault as fault:
            return Timing(subject, "failed", str(fault))

    def _evaluate(self, cell: Cell, environment: str) -> CellRecord:
        """Run one cell and write its record, whatever its end."""
        networks: CellNetworks | None = None
        result: CellResult | None = None
        details: dict[str, Any] = {}
        status: Status = "ok"
        reason = ""

        try:
            details = described(cell.attack, cell.eps)
            cell.threat.check_applies(cell.attack)
            networks = self._tasks.networks(cell)
            result = self._tasks.result(cell, networks)
        except NotApplicable as error:
            status, reason = "skipped", str(error)
        except PluginFault as fault:
            status, reason = "failed", str(fault)

        record = CellRecord(
            key=self._tasks.cell_key(cell),
            labels=cell.labels(),
            properties=cell.properties(),
            data=self._tasks.test_digest(cell),
            n=self.config.n,
            status=status,
            reason=reason,
            parameters={**cell.parameters(), "attack_at_eps": details},
            networks=networks.digests() if networks else {},
            environment=environment,
            adversarial_set=result.adversarial_set if result else "",
        )
        self.folder.save(
            record, result.outcome if result else None, result.images if result else None
        )

        return record

    def _recorded(self, cell: Cell) -> CellRecord | None:
        """The cell's record, where there is one and it did not fail: a failure is tried again."""
        found = self.folder.record(self._tasks.cell_key(cell))
        return found if found is not None and found.status != "failed" else None

    def _representatives(self) -> dict[Pipeline, Cell]:
        """One cell of each pipeline, whatever its seed: latency depends on nothing else."""
        first: dict[Pipeline, Cell] = {}
        for cell in self.grid.cells():
            first.setdefault(cell.pipeline.without_seed, cell)

        return first

    def _timed(self, subject: Subject, environment: str) -> bool:
        """Whether it was timed in this environment: what was not, or did not apply then, may by now."""
        found = self.folder.timing(subject.key)
        return found is not None and found.status == "ok" and found.environment == environment
