"""`bench report`: tables and plots of a run, again."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.progress import say
from bench.report import latency_frame, print_tables, results_frame, table_console, write_report
from bench.runs import RunFolder


def report(path: Path) -> None:
    """Derive everything from the raw files of the run at `path` and print the tables.

    Raises:
        RequestError: it is no run's folder, or a raw file is damaged.
    """
    folder = RunFolder.open(path)
    write_report(folder)
    print_tables(table_console(), results_frame(folder), latency_frame(folder))
    say(Console(stderr=True), f"Tables and plots are in {path}/tables and {path}/plots")
