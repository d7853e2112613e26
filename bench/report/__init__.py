"""The report: tables and figures derived from a run's raw files, without torch."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from rich.console import Console

from bench.records.folder import RunFolder
from bench.report.contents import figures, tables
from bench.report.report import Report
from bench.report.writers import (
    print_named_table,
    save_figure,
    table_console,
    write_frame,
    write_table,
)

__all__ = ["Report", "figures", "print_tables", "table_console", "tables", "write_report"]

_FRAMES = (
    "results",
    "latency",
    "worst_case",
    "pairs",
    "seeds",
    "cross_attack",
    "scaling",
    "engines",
)
"""Attributes of a report that are CSV files of that name."""

_ALWAYS_WRITTEN = ("results", "latency", "worst_case")
"""Frames of a run with cells that are written even if they are empty."""


def write_report(run: RunFolder) -> Report:
    """Write all tables and figures of a run into its folder, and return the report.

    Raises:
        RequestError: a raw file is damaged.
        StorageError: a file could not be written.
    """
    report = Report.of(run)

    for name, frame in _frames(report):
        write_frame(run.path / "tables", name, frame)
    for table in tables(report):
        write_table(run.path / "tables", table)
    for figure in figures(report):
        save_figure(run.path / "plots", figure)

    return report


def print_tables(console: Console, report: Report) -> None:
    """Print the tables for people."""
    for table in tables(report):
        if table.printed:
            print_named_table(console, table)


def _frames(report: Report) -> Iterator[tuple[str, pd.DataFrame]]:
    """The frames of a report by name, without the empty ones that need not be written."""
    always = () if report.results.empty else _ALWAYS_WRITTEN

    for name in _FRAMES:
        frame: pd.DataFrame = getattr(report, name)
        if name in always or not frame.empty:
            yield name, frame
