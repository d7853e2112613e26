"""The runner of a grid: its cells one by one, then latency.

A cell that fails is recorded with its reason, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from bench.errors import NotApplicable, PluginFault
from bench.records.cell import CellRecord, Status
from bench.records.folder import RunFolder
from bench.records.outcome import CellResult
from bench.records.pipeline import Pipeline
from bench.stages.context import TaskContext
from bench.stages.crafting import parameters_at_budget
from bench.stages.executor import Executor
from bench.stages.references import CellNetworks
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.clean import CleanAccuracy
from bench.sweep.config import RunConfig
from bench.sweep.grid import Grid
from bench.sweep.latency_sweep import LatencySweep
from bench.sweep.plan import Plan, Planner
from bench.text import LONGEST_LINE, one_line

OnFault = Callable[[Cell, PluginFault], None]
"""A function that is told of the fault of a cell."""


def recorded_only(_cell: Cell, _fault: PluginFault) -> None:
    """The default: a fault is recorded, and the other cells go on."""


class Runner:
    """Runs a grid into a folder.

    Args:
        grid: cells of the run.
        config: settings of the evaluation and of the latency measurement.
        context: device, data and cache.
        executor: executor that runs the tasks of cells.
        folder: folder of the run.
    """

    def __init__(
        self,
        grid: Grid,
        config: RunConfig,
        context: TaskContext,
        executor: Executor,
        folder: RunFolder,
    ) -> None:
        self.grid = grid
        self.config = config
        self.context = context
        self.folder = folder
        self._tasks = CellTasks(executor, context, config)

    def plan(self) -> Plan:
        """The plan of the run; nothing is computed.

        Raises:
            RequestError: a cell cannot be recorded in the folder.
        """
        cells = {self._tasks.cell_key(cell): cell.labels() for cell in self.grid.cells()}
        self.folder.check_cells(cells)

        planner = Planner(self.grid, self._tasks, self.context)
        return planner.plan(lambda cell: self._recorded(cell) is not None)

    def clean_accuracies(self) -> Iterator[CleanAccuracy]:
        """The clean accuracy of each pipeline that is still to be attacked; it is trained now.

        A pipeline that fails is left out: its cells say why.
        """
        seen: set[Pipeline] = set()
        for cell in self.grid.cells():
            if cell.pipeline in seen or self._recorded(cell) is not None:
                continue
            seen.add(cell.pipeline)
            try:
                yield self._tasks.clean_accuracy(cell, self._tasks.networks(cell))
            except (PluginFault, NotApplicable):
                continue

    def run(self, environment: str, on_fault: OnFault = recorded_only) -> Iterator[CellRecord]:
        """Run every cell and yield its record as soon as it is written.

        Args:
            environment: id of this machine's environment in the folder.
            on_fault: function that is called with the cell and its fault after a failed cell was
                recorded; it may raise.

        Raises:
            StorageError: the disk is full or the folder not writable; earlier results are intact.
        """
        for cell in self.grid.cells():
            yield self._recorded(cell) or self._evaluate(cell, environment, on_fault)

    def measure_latency(self, environment: str) -> int:
        """Time every pipeline of the grid, see `LatencySweep.run`.

        Args:
            environment: id of this machine's environment in the folder.

        Returns:
            number of timings that failed.
        """
        cells = self.grid.cells()
        sweep = LatencySweep(cells, self.config, self._tasks, self.context, self.folder)

        return sweep.run(environment)

    def _evaluate(self, cell: Cell, environment: str, on_fault: OnFault) -> CellRecord:
        """Run one cell and write its record, whether it succeeds or fails."""
        failure: PluginFault | None = None
        networks: CellNetworks | None = None
        result: CellResult | None = None
        details: dict[str, Any] = {}
        status: Status = "ok"
        reason = ""

        try:
            details = parameters_at_budget(cell.attack, cell.eps)
            cell.threat.check_applies(cell.attack)
            networks = self._tasks.networks(cell)
            result = self._tasks.result(cell, networks)
        except NotApplicable as error:
            status, reason = "skipped", str(error)
        except PluginFault as fault:
            status, reason = "failed", one_line(str(fault), LONGEST_LINE)
            failure = fault

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
            cascade=result.cascade if result else (),
        )
        self.folder.save(
            record, result.outcome if result else None, result.images if result else None
        )
        if failure is not None:
            on_fault(cell, failure)

        return record

    def _recorded(self, cell: Cell) -> CellRecord | None:
        """The record of the cell; None where there is none, or a failure, which is tried again."""
        record = self.folder.record(self._tasks.cell_key(cell))
        return record if record is not None and record.status != "failed" else None
