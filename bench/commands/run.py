"""`bench run`: the plan, the cells and their tables, then latency, and the report."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from rich.console import Console

from bench.commands.clean_text import clean_text, guessing_text
from bench.commands.dispatch import dispatch
from bench.commands.display import SHOW_TABLES, Display
from bench.commands.drawings import DRAW_ALL, Drawings
from bench.commands.plan_text import plan_text, shard_text, step_text
from bench.commands.preparation import PreparedRun, prepare
from bench.commands.report import report_invalid
from bench.commands.request import Request, unrecorded_options
from bench.errors import RequestError
from bench.progress import say
from bench.records.cell import CellRecord
from bench.report import write_tables
from bench.report.columns import title_of
from bench.report.decision.cards import with_options
from bench.store.weights import Weights, pretrained
from bench.sweep.runner import RunStep
from bench.sweep.shard import Shard
from bench.text import LONGEST_LINE, one_line

_STEP_EVERY_S = 2.0
"""Seconds between two lines about the steps of a run."""


def run(
    request: Request,
    strict: bool = False,
    latency: bool = True,
    display: Display = SHOW_TABLES,
    drawings: Drawings = DRAW_ALL,
) -> int:
    """Run a grid and report on it.

    Args:
        request: grid, device and folders.
        strict: whether an invalid cell counts as a failure.
        latency: whether the pipelines are timed; timings that the folder has are shown anyway. A
            shard times none, since others may run on the same machine.
        display: what is shown.
        drawings: figures and page that are made.

    Returns:
        0 when every cell has a record, and no cell and no timing failed (and, under `strict`, no
        cell is invalid), else 1.

    Raises:
        RequestError: the request is wrong; nothing was computed.
    """
    messages = Console(stderr=True)
    prepared = prepare(request, display.progress(messages))
    if request.shard is not None and not _has_cells(prepared, request.shard, messages):
        return 0
    _say_plan(prepared, display, messages)
    dispatch(prepared, request, lambda: _say_clean_accuracies(prepared, display, messages))

    records = _run_cells(prepared, display, messages)
    times = latency and request.shard is None
    failed_timings = _measure_latency(prepared, display, messages) if times else 0

    report = write_tables(prepared.folder)
    display.print_tables(report)
    drawings.draw(prepared.folder, report, display)
    complete = _is_complete(prepared, records, messages)
    invalid = strict and report_invalid(messages, report)
    display.close(with_options(report, unrecorded_options(request)), prepared.folder.path)
    if request.shard is not None and not display.quiet:
        say(messages, shard_text(request.shard, prepared.folder.path))

    return 0 if complete and not failed_timings and not invalid else 1


def _has_cells(prepared: PreparedRun, shard: Shard, messages: Console) -> bool:
    """Whether a shard has any cell; its folder can be merged in either case."""
    if next(prepared.runner.grid.cells(), None) is not None:
        return True

    say(messages, f"shard {shard} has no cell: the grid has fewer parts than shards")
    return False


def _say_plan(prepared: PreparedRun, display: Display, messages: Console) -> None:
    """Say what is to be done."""
    plan = prepared.runner.plan()
    if not display.quiet:
        say(messages, plan_text(plan, prepared, _shipped(prepared)))


def _say_clean_accuracies(prepared: PreparedRun, display: Display, messages: Console) -> None:
    """Say how good each pipeline is before any attack."""
    accuracies = prepared.runner.clean_accuracies()
    quiet, n = display.quiet, prepared.runner.config.n
    lines = guessing_text(accuracies) if quiet else clean_text(accuracies, n)
    for line in lines:
        say(messages, line)


def _shipped(prepared: PreparedRun) -> Weights | None:
    """The networks of the package, for a run without weights; None where they cannot be read."""
    if prepared.weights:
        return None

    try:
        return Weights.open(pretrained())
    except RequestError:
        return None


def _run_cells(prepared: PreparedRun, display: Display, messages: Console) -> list[CellRecord]:
    """Run all cells; returns their records, and shows steps and failures."""
    last = -math.inf
    dispatched = prepared.executor.dispatches

    def announce(step: RunStep) -> None:
        nonlocal last
        if not display.quiet and not dispatched and time.monotonic() - last >= _STEP_EVERY_S:
            say(messages, step_text(step))
            last = time.monotonic()

    records = []
    for record in prepared.runner.run(prepared.environment, on_step=announce):
        records.append(record)
        if record.status == "failed":
            line = f"failed: {title_of(record.labels)}: {record.reason}"
            say(messages, one_line(line, LONGEST_LINE))

    return records


def _measure_latency(prepared: PreparedRun, display: Display, messages: Console) -> int:
    """Time the pipelines, which may take long, after the files of accuracy are written.

    Returns:
        number of timings that failed.
    """
    if prepared.runner.is_timed(prepared.environment):
        return 0

    write_tables(prepared.folder)
    if not display.quiet:
        say(messages, f"Tables of accuracy are in {prepared.folder.path}/tables; timings follow")

    return prepared.runner.measure_latency(prepared.environment)


def _is_complete(prepared: PreparedRun, records: Sequence[CellRecord], messages: Console) -> bool:
    """Whether the folder has a record of every cell, and none is that of a failure."""
    folder = prepared.folder
    cells = len(list(prepared.runner.grid.cells()))
    failed = sum(record.status == "failed" for record in records)
    recorded = sum(folder.record(record.key) is not None for record in records)

    if failed:
        say(messages, f"{failed} of {cells} cells failed; the same command tries them again")
    if recorded < cells:
        missing = f"{cells - recorded} of {cells} cells have no record in {folder.path}"
        say(messages, f"{missing}; the same command tries them again")

    return not failed and recorded == cells
