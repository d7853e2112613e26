"""The runner of a grid: its cells one by one, then latency.

A cell that fails is recorded with its reason, and the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.errors import NotApplicable, PluginFault
from bench.machine.devices import device_name
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
from bench.sweep.costs import CellCosts, PlannedCell, TimeLeft
from bench.sweep.grid import Grid
from bench.sweep.latency_sweep import LatencySweep
from bench.sweep.plan import Plan, Planner
from bench.sweep.task_times import ChargingExecutor, TaskTimes
from bench.text import LONGEST_LINE, one_line

Step = Callable[[], object]
"""A part of a run, which asks an executor for the artifacts of tasks."""

OnFault = Callable[[Cell, PluginFault], None]
"""A function that is told of the fault of a cell."""


def recorded_only(_cell: Cell, _fault: PluginFault) -> None:
    """The default: a fault is recorded, and the other cells go on."""


@dataclass(frozen=True)
class RunStep:
    """A cell that is about to be run.

    Attributes:
        number: its position among the cells that the plan left, from 1.
        steps: number of those cells.
        cell: cell of the grid.
        time_left: function that tells the time that it and the cells after it will take.
    """

    number: int
    steps: int
    cell: Cell
    time_left: Callable[[], TimeLeft]


OnStep = Callable[[RunStep], None]
"""A function that is told of each step before it starts."""


def unannounced(_step: RunStep) -> None:
    """The default: nobody is told of a step."""


class Runner:
    """Runs a grid into a folder.

    Args:
        grid: cells of the run.
        config: settings of the evaluation and of the latency measurement.
        context: device, data and cache.
        executor: executor that runs the tasks of cells.
        folder: folder of the run.
        times: times of the tasks that workers do; None where the executor does all of them.
    """

    def __init__(
        self,
        grid: Grid,
        config: RunConfig,
        context: TaskContext,
        executor: Executor,
        folder: RunFolder,
        times: TaskTimes | None = None,
    ) -> None:
        self.grid = grid
        self.config = config
        self.context = context
        self.folder = folder
        self.times = times
        charged: Executor = ChargingExecutor(executor, times) if times else executor
        self._tasks = CellTasks(charged, context, config)
        self._costs = CellCosts(context, config, device_name(context.device))
        self._left: list[PlannedCell] = []

    def plan(self) -> Plan:
        """The plan of the run; nothing is computed.

        Raises:
            RequestError: a cell cannot be recorded in the folder.
        """
        cells = {self._tasks.cell_key(cell): cell.labels() for cell in self.grid.whole.cells()}
        self.folder.check_cells(cells)

        planner = Planner(self.grid, self._tasks, self.context)
        plan = planner.plan(lambda cell: self._recorded(cell) is not None)
        self._left = plan.cells_left

        return plan

    def time_left(self) -> TimeLeft:
        """The time that the cells of the plan will take, as far as their costs are known."""
        return self._time_left(0)

    def _time_left(self, done: int) -> TimeLeft:
        """The time that the cells of the plan will take after so many of them."""
        return self._costs.left(self._left[done:])

    def clean_accuracies(self) -> Iterator[CleanAccuracy]:
        """The clean accuracy of each pipeline that is still to be attacked; it is trained now.

        A pipeline that fails is left out: its cells say why.
        """
        for cell in self._pipelines_left():
            try:
                yield _clean_accuracy(self._tasks, cell)
            except (PluginFault, NotApplicable):
                continue

    def _pipelines_left(self) -> Iterator[Cell]:
        """A cell of each pipeline that is still to be attacked."""
        seen: set[Pipeline] = set()
        for cell in self.grid.cells():
            if cell.pipeline not in seen and self._recorded(cell) is None:
                seen.add(cell.pipeline)
                yield cell

    def steps(self, executor: Executor) -> tuple[list[Step], list[Step]]:
        """The steps of the run that is left, for a dispatcher; nothing is computed yet.

        Args:
            executor: executor that the steps ask, see `bench.sweep.demand.Demand`.

        Returns:
            a step for the clean accuracy of each pipeline, and one for each cell.
        """
        tasks = CellTasks(executor, self.context, self.config)
        clean: list[Step] = [
            partial(_clean_accuracy, tasks, cell) for cell in self._pipelines_left()
        ]
        cells: list[Step] = [
            partial(_outcome, tasks, cell)
            for cell in self.grid.cells()
            if self._recorded(cell) is None
        ]
        return clean, cells

    def run(
        self,
        environment: str,
        on_fault: OnFault = recorded_only,
        on_step: OnStep = unannounced,
    ) -> Iterator[CellRecord]:
        """Run every cell and yield its record as soon as it is written.

        Args:
            environment: id of this machine's environment in the folder.
            on_fault: function that is called with the cell and its fault after a failed cell was
                recorded; it may raise.
            on_step: function that is called before each cell that the plan left.

        Raises:
            StorageError: the disk is full or the folder not writable; earlier results are intact.
        """
        planned = {self._tasks.cell_key(each.cell): each for each in self._left}
        number = 0
        for cell in self.grid.cells():
            recorded = self._recorded(cell)
            if recorded is not None:
                yield recorded
                continue

            step = planned.get(self._tasks.cell_key(cell))
            if step is not None:
                number += 1
                left = partial(self._time_left, number - 1)
                on_step(RunStep(number, len(self._left), cell, left))
            yield self._timed(cell, step, environment, on_fault)

    def _timed(
        self, cell: Cell, planned: PlannedCell | None, environment: str, on_fault: OnFault
    ) -> CellRecord:
        """Run one cell and note what it cost, if the plan knew of it and its cost is known."""
        self._charged()  # to what was done before the cell
        start = time.perf_counter()
        record = self._evaluate(cell, environment, on_fault)
        own, charged = time.perf_counter() - start, self._charged()
        if planned is not None and charged is not None and record.status == "ok":
            self._costs.note(planned, own + charged)

        return record

    def _charged(self) -> float | None:
        """The time of workers that was charged since the last call, see `TaskTimes.charged`."""
        return self.times.charged() if self.times else 0.0

    def measure_latency(self, environment: str) -> int:
        """Time every pipeline of the grid, see `LatencySweep.run`.

        Args:
            environment: id of this machine's environment in the folder.

        Returns:
            number of timings that failed.
        """
        return self._latency().run(environment)

    def is_timed(self, environment: str) -> bool:
        """Whether no timing is missing; the argument as in `measure_latency`."""
        return not self._latency().missing(environment)

    def _latency(self) -> LatencySweep:
        cells = self.grid.cells()
        return LatencySweep(cells, self.config, self._tasks, self.context, self.folder)

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


def _clean_accuracy(tasks: CellTasks, cell: Cell) -> CleanAccuracy:
    """The clean accuracy of a cell's pipeline, whose networks are trained first."""
    return tasks.clean_accuracy(cell, tasks.networks(cell))


def _outcome(tasks: CellTasks, cell: Cell) -> CellResult:
    """The outcome of a cell, whose networks are trained first."""
    parameters_at_budget(cell.attack, cell.eps)  # a cell that fails here needs nothing
    cell.threat.check_applies(cell.attack)
    return tasks.result(cell, tasks.networks(cell))
