"""The part of `bench run` that other processes do: the tasks of its cells, wave by wave."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import chain

from bench.commands.preparation import PreparedRun
from bench.commands.request import Request, requested_plugins
from bench.execution.dispatcher import Dispatcher
from bench.execution.jobs import ShippedPlugin, WorkerSetup
from bench.execution.start import start_workers
from bench.execution.waves import WAVES, Progress
from bench.execution.workers import Workers
from bench.failures import tracebacks
from bench.machine.device_names import parse_device
from bench.plugins.catalog import plugin_source
from bench.plugins.counted import digest_of_file
from bench.sweep.costs import TimeLeft
from bench.sweep.demand import Demand

_NAMES = dict(zip(WAVES, ("networks", "sets", "predictions", "probes"), strict=True))
"""Names of the waves."""


def dispatch(prepared: PreparedRun, request: Request, when_clean: Callable[[], None]) -> None:
    """Have the workers of the run's executor do what its cells need; nothing for `local`.

    Args:
        prepared: the run.
        request: its options.
        when_clean: function that is called once, as soon as the clean accuracies can be told.

    Raises:
        StorageError: a worker cannot work, or an artifact cannot be written.
    """
    asked = parse_device(request.resources.device)
    setup = _setup(prepared, request)
    workers = start_workers(
        prepared.executor, setup, prepared.runner.context.store, spread=asked.index is None
    )
    if workers is None:
        when_clean()
        return

    try:
        _dispatch(prepared, workers, when_clean)
    finally:
        workers.close()


def _dispatch(prepared: PreparedRun, workers: Workers, when_clean: Callable[[], None]) -> None:
    runner, context = prepared.runner, prepared.runner.context
    demand = Demand(context.store, prepared.failed)
    dispatcher = Dispatcher(workers, demand, prepared.failed, runner.times)
    progress, planned = dispatcher.progress, runner.time_left()
    clean, cells = runner.steps(demand)
    left = set(map(id, clean))
    if not left:
        when_clean()

    with context.progress.step("cells", len(cells)) as bar:
        for step in dispatcher.complete(chain(clean, cells)):
            if id(step) in left:
                left.remove(id(step))
                if not left:
                    when_clean()
            else:
                time_left = progress.seconds_left(planned, workers.slots)
                bar.advance(int(step is not None), progress_text(progress, planned), time_left)


def progress_text(progress: Progress, planned: TimeLeft) -> str:
    """The tasks of each wave so far: how many are done of those that are known.

    Args:
        progress: tasks so far.
        planned: costs of the cells, as they were known when the run began.
    """
    waves = (
        f"{name} {progress.done[kind]}/{progress.known[kind]}"
        for kind, name in _NAMES.items()
        if progress.known[kind]
    )
    failed = f", {progress.failed} failed" if progress.failed else ""
    unknown = f", {planned.unknown} cells of unknown cost" if planned.unknown else ""

    return f"{', '.join(waves)}; {progress.running} running{failed}{unknown}"


def _setup(prepared: PreparedRun, request: Request) -> WorkerSetup:
    """What the workers of a run are made from."""
    context = prepared.runner.context
    plugins = requested_plugins(request, prepared.runner.config)
    logger = logging.getLogger("bench")

    return WorkerSetup(
        device=str(context.device),
        store=context.store.root.absolute(),
        weights=prepared.weights.folder.absolute() if prepared.weights else None,
        data=context.data.absolute(),
        plugins=tuple(
            ShippedPlugin(plugin, digest_of_file(plugin_source(plugin))) for plugin in plugins
        ),
        threads=prepared.executor.task_threads,
        levels={each.name: each.getEffectiveLevel() for each in (logger, tracebacks)},
    )
