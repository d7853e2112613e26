"""The latency sweep: every pipeline of a grid timed alone on the device, call after call."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from bench.errors import NotApplicable, PluginFault
from bench.latency.calls import timed_calls
from bench.latency.stopwatch import Stopwatch
from bench.latency.summary import timing_summary
from bench.machine.device_lock import exclusive_use
from bench.records.folder import RunFolder
from bench.records.pipeline import Pipeline
from bench.records.timing import TimedCall, Timing
from bench.stages.context import DamagedArtifact, TaskContext
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig
from bench.text import LONGEST_LINE, one_line

logger = logging.getLogger("bench")


class LatencySweep:
    """Times the pipelines of cells into a run's folder.

    Args:
        cells: cells of the grid; a pipeline that several of them share is timed once.
        config: latency settings and number of test images.
        tasks: builder of the networks.
        context: device and data.
        folder: folder that timings are written to.
    """

    def __init__(
        self,
        cells: Iterable[Cell],
        config: RunConfig,
        tasks: CellTasks,
        context: TaskContext,
        folder: RunFolder,
    ) -> None:
        self._config = config
        self._tasks = tasks
        self._context = context
        self._folder = folder
        self._cells: dict[Pipeline, Cell] = {}
        for cell in cells:
            self._cells.setdefault(cell.pipeline.without_seed, cell)

    def run(self, environment: str) -> int:
        """Time every call that has no timing yet, round by round, with nothing else on the device.

        Args:
            environment: id of this machine's environment in the folder.

        Returns:
            number of timings that failed; each failure is logged with its reason.

        Raises:
            RequestError: an engine or a precision is unknown.
        """
        missing = self.missing(environment)
        if not missing:
            return 0

        stopwatch = Stopwatch(self._context, self._config.latency)
        reported = set[str]()
        failed = 0
        for number, call in enumerate(missing, start=1):
            timing = replace(self._timing(stopwatch, call), environment=environment)
            self._folder.save_timing(timing)
            failed += timing.status == "failed"

            if timing.status == "ok":
                logger.info("latency %d of %d: %s", number, len(missing), timing_summary(timing))
            elif timing.reason not in reported:
                reported.add(timing.reason)
                logger.warning("not timed at batch size %d: %s", call.batch_size, timing.reason)

        return failed

    def missing(self, environment: str) -> list[TimedCall]:
        """The calls that have no timing yet; arguments and errors as in `run`."""
        calls = timed_calls(self._config.latency, list(self._cells), str(self._context.device))
        return [call for call in calls if not self._is_timed(call, environment)]

    def _timing(self, stopwatch: Stopwatch, call: TimedCall) -> Timing:
        """The timing of a call, or the record of why there is none."""
        try:
            return self._timed(stopwatch, call)
        except NotApplicable as reason:
            return Timing(call, "skipped", str(reason))
        except PluginFault as fault:
            return Timing(call, "failed", one_line(str(fault), LONGEST_LINE))

    def _timed(self, stopwatch: Stopwatch, call: TimedCall) -> Timing:
        """The timing of a call, whose networks are trained, loaded or made again first."""
        while True:
            networks = self._tasks.networks(self._cells[call.pipeline])
            split = self._context.split(call.pipeline.dataset, self._config.n)
            try:
                with exclusive_use(self._context.device):
                    return stopwatch.time(call, networks, split)
            except DamagedArtifact as damage:
                self._tasks.repair(damage)

    def _is_timed(self, call: TimedCall, environment: str) -> bool:
        """Whether the folder has an ok timing of the call in this environment.

        A call that failed or did not apply is tried again, since it may succeed by now.
        """
        timing = self._folder.timing(call.key)
        return timing is not None and timing.status == "ok" and timing.environment == environment
