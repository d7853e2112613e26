"""The worker: does jobs one after another, wherever it runs, and writes their artifacts."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from bench.errors import BenchError, NotApplicable, PluginFault, StorageError
from bench.execution.jobs import Ending, Finished, Job, Message, WorkerSetup
from bench.execution.shipping import Arrivals
from bench.failures import described
from bench.machine.devices import choose_device
from bench.plugins.catalog import plugin_source
from bench.plugins.counted import digest_of_file
from bench.plugins.discovery import discover
from bench.progress import Silent
from bench.stages.context import DamagedArtifact, TaskContext
from bench.stages.executor import LocalExecutor
from bench.store.artifacts import ArtifactStore
from bench.store.weights import KIND, Weights
from bench.text import LONGEST_LINE, one_line


class Worker:
    """Does jobs one after another; their artifacts lie in the store when they have ended.

    A process has one worker at most, since plugins register themselves in the process.

    Args:
        setup: device, folders and plugins.

    Raises:
        RequestError: the device is not there, or a plugin cannot be imported.
        StorageError: the file of a plugin is another one than where the run was started.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        for plugin in setup.plugins:
            if digest_of_file(plugin_source(plugin.source)) != plugin.digest:
                raise StorageError(
                    f"plugin {one_line(plugin.source)} is another file on this worker than where "
                    "the run was started"
                )
        discover(plugin.source for plugin in setup.plugins)

        weights = Weights.open(setup.weights) if setup.weights else None
        store = ArtifactStore(setup.store, {KIND: weights.paths} if weights else None)
        context = TaskContext(choose_device(setup.device), store, setup.data, Silent())
        self._executor = LocalExecutor(context, threads=setup.threads)
        self._arrivals = Arrivals(context)

    def run(self, job: Job) -> str:
        """Do a job; the digest of the artifact that it made.

        Raises:
            PluginFault: a plugin raised or broke its contract.
            NotApplicable: the task makes no sense.
            DamagedArtifact: an input does not match its digest.
            StorageError: the artifact cannot be written, or the worker lacks what the job needs.
        """
        # The whole artifact is read, since the header of a damaged one may look sound.
        return self._executor.artifact(self._arrivals.task(job)).digest


class Desk:
    """Takes the jobs of a process, whose worker is made for the first one, and reports on them.

    Args:
        setup: what the worker is made from.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._worker: Worker | None = None
        self._start = 0.0

    def finished(self, job: Job) -> Finished:
        """Do a job and say how it ended, whatever happens."""
        self._start = time.perf_counter()
        with _collected(self._setup) as messages:
            ended = self._ended(job)
        seconds = time.perf_counter() - self._start

        return Finished(job.key, *ended, tuple(messages), seconds)

    def _ended(self, job: Job) -> tuple[Ending, str]:
        try:
            self._worker = self._worker or Worker(self._setup)
            self._start = time.perf_counter()  # what a worker is made of is no part of the job
            return "made", self._worker.run(job)
        except PluginFault as fault:
            return "failed", str(fault)
        except NotApplicable as reason:
            return "not applicable", str(reason)
        except DamagedArtifact as damage:
            return "damaged", damage.key
        except BenchError as error:
            return "stopped", one_line(str(error), LONGEST_LINE)
        except Exception as error:  # noqa: BLE001 - the process of the run must hear of it
            return "stopped", described(error)


class _Collector(logging.Handler):
    """Keeps the lines of a log."""

    def __init__(self, lines: list[Message]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(record.exc_info[1])).rstrip()
        self._lines.append(Message(record.name, record.levelno, text))


@contextmanager
def _collected(setup: WorkerSetup) -> Iterator[list[Message]]:
    """The lines of the package's log while the block runs; nothing is shown."""
    lines: list[Message] = []
    for name, level in setup.levels.items():
        logging.getLogger(name).setLevel(level)
    logger = logging.getLogger("bench")
    logger.handlers, shown = [_Collector(lines)], logger.handlers
    try:
        yield lines
    finally:
        logger.handlers = shown
