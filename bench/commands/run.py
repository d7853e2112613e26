"""`bench run`: the plan, the cells, latency, and the report."""

from __future__ import annotations

from rich.console import Console

from bench.commands.plan_text import plan_text
from bench.commands.preparation import PreparedRun, prepare
from bench.commands.report import report_invalid
from bench.commands.request import Request
from bench.progress import say
from bench.report import print_tables, table_console, write_report
from bench.report.columns import title_of


def run(request: Request, strict: bool = False) -> int:
    """Run a grid and report on it.

    Args:
        request: grid, device and folders.
        strict: whether an invalid cell counts as a failure.

    Returns:
        0 when no cell and no timing failed (and, under `strict`, no cell is invalid), else 1.

    Raises:
        RequestError: the request is wrong; nothing was computed.
    """
    messages = Console(stderr=True)
    output = table_console()
    prepared = prepare(request, messages)
    folder = prepared.folder.path
    say(messages, plan_text(prepared.runner.plan(), prepared))

    failed_cells = _run_cells(prepared, messages)
    failed_timings = prepared.runner.measure_latency(prepared.environment)

    report = write_report(prepared.folder)
    print_tables(output, report)
    say(messages, f"Tables and plots are in {folder}/tables and {folder}/plots")
    if failed_cells:
        cells = len(list(prepared.runner.grid.cells()))
        say(messages, f"{failed_cells} of {cells} cells failed; the same command tries them again")
    invalid = strict and report_invalid(messages, report)

    return 1 if failed_cells or failed_timings or invalid else 0


def _run_cells(prepared: PreparedRun, messages: Console) -> int:
    """Run all cells; returns the number of those that failed."""
    failed = 0
    for record in prepared.runner.run(prepared.environment):
        if record.status == "failed":
            failed += 1
            say(messages, f"failed: {title_of(record.labels)}: {record.reason}")

    return failed
