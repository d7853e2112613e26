"""`bench run`: the plan, the cells and their tables, then latency, and the report."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from bench.commands.clean_text import clean_text
from bench.commands.plan_text import plan_text
from bench.commands.preparation import PreparedRun, prepare
from bench.commands.printed_tables import PrintedTables
from bench.commands.report import draw, report_invalid
from bench.commands.request import Request
from bench.progress import say
from bench.records.cell import CellRecord
from bench.report import table_console, write_tables
from bench.report.columns import title_of
from bench.text import LONGEST_LINE, one_line


def run(request: Request, strict: bool = False, latency: bool = True, plots: bool = True) -> int:
    """Run a grid and report on it.

    Args:
        request: grid, device and folders.
        strict: whether an invalid cell counts as a failure.
        latency: whether the pipelines are timed; timings that the folder has are shown anyway.
        plots: whether figures are drawn.

    Returns:
        0 when every cell has a record, and no cell and no timing failed (and, under `strict`, no
        cell is invalid), else 1.

    Raises:
        RequestError: the request is wrong; nothing was computed.
    """
    messages = Console(stderr=True)
    tables = PrintedTables(table_console())
    prepared = prepare(request, messages)
    say(messages, plan_text(prepared.runner.plan(), prepared))

    for line in clean_text(prepared.runner.clean_accuracies(), prepared.runner.config.n):
        say(messages, line)

    records = _run_cells(prepared, messages)
    failed_timings = _measure_latency(prepared, tables) if latency else 0

    report = write_tables(prepared.folder)
    tables.show(report)
    draw(prepared.folder, report, messages, plots)
    complete = _is_complete(prepared, records, messages)
    invalid = strict and report_invalid(messages, report)

    return 0 if complete and not failed_timings and not invalid else 1


def _run_cells(prepared: PreparedRun, messages: Console) -> list[CellRecord]:
    """Run all cells; returns their records, and shows those that failed."""
    records = []
    for record in prepared.runner.run(prepared.environment):
        records.append(record)
        if record.status == "failed":
            line = f"failed: {title_of(record.labels)}: {record.reason}"
            say(messages, one_line(line, LONGEST_LINE))

    return records


def _measure_latency(prepared: PreparedRun, tables: PrintedTables) -> int:
    """Time the pipelines, which may take long, after the tables of accuracy.

    Returns:
        number of timings that failed.
    """
    tables.show(write_tables(prepared.folder))
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
