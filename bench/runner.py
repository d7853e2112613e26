"""The sweep: cell after cell, then latency alone. A failing cell is recorded and the others go on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bench.artifacts import Tensors
from bench.config import RunConfig
from bench.crafting import described
from bench.errors import NotApplicable, PluginFault
from bench.evaluate import Evaluator, Networks
from bench.grid import Cell, Grid
from bench.keys import content_key
from bench.latency import Stopwatch, subjects, told
from bench.occupancy import alone
from bench.plan import Plan, Planner
from bench.runs import Result, RunFolder, Status
from bench.stages.base import Lab
from bench.stages.executor import Executor
from bench.timings import Subject, Timing

logger = logging.getLogger("bench")


class Runner:
    """Runs a grid into a folder."""

    def __init__(self, grid: Grid, config: RunConfig, lab: Lab, executor: Executor, folder: RunFolder) -> None:
        self.grid, self.config, self.lab, self.folder = grid, config, lab, folder
        self._evaluator = Evaluator(executor, lab, config)

    def plan(self) -> Plan:
        """Count what there is to do; nothing is computed."""
        return Planner(self.grid, self._evaluator, self.lab).plan(lambda cell: self._recorded(cell) is not None)

    def run(self, environment: str) -> Iterator[Result]:
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
            result, outcome = self._evaluate(cell)
            result = replace(result, environment=environment)
            self.folder.save(result, outcome)
            yield result

    def time(self, environment: str) -> int:
        """Measure latency, round by round, with nothing else running: no live display, no other work on the device.

        Args:
            environment: id of this machine's environment in the folder.

        Returns:
            how many timings failed although the network was there; each is told with its reason.

        Raises:
            RequestError: an unknown engine or precision.
        """
        cells = self._representatives()
        labels = [_timing_labels(cell) for cell in cells.values()]
        wanted = list(subjects(self.config.latency, labels, str(self.lab.device)))
        missing = [subject for subject in wanted if not self._timed(subject, environment)]
        if not missing:
            return 0
        stopwatch = Stopwatch(self.lab, self.config.latency)
        failed, told_of = 0, set[str]()
        for done, subject in enumerate(missing, start=1):
            timing = replace(self._time(stopwatch, subject, cells), environment=environment)
            self.folder.save_timing(timing)
            failed += timing.status == "failed"
            if timing.status == "ok":
                logger.info("latency %d of %d: %s", done, len(missing), told(timing))
            elif timing.reason not in told_of:
                told_of.add(timing.reason)
                logger.warning("not timed at batch size %d: %s", subject.batch_size, timing.reason)
        return failed

    def _time(self, stopwatch: Stopwatch, subject: Subject, cells: Mapping[str, Cell]) -> Timing:
        """Measure one timing, its networks trained or loaded first."""
        try:
            networks = self._evaluator.networks(cells[content_key(subject.labels)])
            split = self.lab.split(subject.labels["dataset"], self.config.n)
            with alone(self.lab.device):
                return stopwatch.time(subject, networks, split)
        except NotApplicable as reason:
            return Timing(subject, "skipped", str(reason))
        except PluginFault as fault:
            return Timing(subject, "failed", str(fault))

    def _evaluate(self, cell: Cell) -> tuple[Result, Tensors | None]:
        networks: Networks | None = None
        details: dict[str, Any] = {}
        try:
            details = described(cell.attack, cell.eps)
            cell.threat.check_applies(cell.attack)
            networks = self._evaluator.networks(cell)
            outcome = self._evaluator.outcome(cell, networks)
        except NotApplicable as reason:
            return self._result(cell, networks, details, "skipped", str(reason)), None
        except PluginFault as fault:
            return self._result(cell, networks, details, "failed", str(fault)), None
        return self._result(cell, networks, details, "ok"), outcome

    def _result(
        self, cell: Cell, networks: Networks | None, details: dict[str, Any], status: Status, reason: str = ""
    ) -> Result:
        return Result(
            key=self._evaluator.cell_key(cell),
            labels=cell.labels(),
            facts=cell.facts(),
            data=self._evaluator.test_digest(cell),
            n=self.config.n,
            status=status,
            reason=reason,
            parameters={**cell.parameters(), "attack_at_eps": details},
            networks=networks.digests() if networks else {},
            environment="",
        )

    def _recorded(self, cell: Cell) -> Result | None:
        """The cell's record, where there is one and it did not fail: a failure is tried again."""
        found = self.folder.result(self._evaluator.cell_key(cell))
        return found if found is not None and found.status != "failed" else None

    def _representatives(self) -> dict[str, Cell]:
        """One cell per dataset, classifier and defense, by their key: latency depends on nothing else."""
        first: dict[str, Cell] = {}
        for cell in self.grid.cells():
            first.setdefault(content_key(_timing_labels(cell)), cell)
        return first

    def _timed(self, subject: Subject, environment: str) -> bool:
        """Whether it was timed in this environment: what was not, or did not apply then, may by now."""
        found = self.folder.timing(subject.key)
        return found is not None and found.status == "ok" and found.environment == environment


def _timing_labels(cell: Cell) -> dict[str, Any]:
    return {name: cell.labels()[name] for name in ("dataset", "classifier", "defense")}
