"""The report: tables and figures derived from a run's raw files, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd
from rich.console import Console

from bench.matplotlib_import import import_matplotlib

import_matplotlib()  # the modules below import it too

# ruff: noqa: E402
from bench.progress import Reporter, Silent
from bench.records.folder import RunFolder
from bench.report.contents import FIGURE_TOPICS, figures, tables
from bench.report.drawing import save_figures
from bench.report.figure_styles import SCREEN, FigureStyle
from bench.report.page.page import write_page
from bench.report.parquet import write_parquet
from bench.report.report import Report
from bench.report.terminal import print_named_table, table_console
from bench.report.writers import write_all
from bench.store.tree import Tree

__all__ = [
    "Report",
    "figures",
    "print_tables",
    "table_console",
    "tables",
    "write_figures",
    "write_page",
    "write_report",
    "write_tables",
]

_FRAMES = (
    "results",
    "latency",
    "decisions",
    "worst_case",
    "pairs",
    "cascade",
    "classes",
    "seeds",
    "cross_attack",
    "scaling",
    "engines",
)
"""Attributes of a report that are CSV files of that name."""

_ALWAYS_WRITTEN = ("results", "latency", "worst_case")
"""Frames of a run with cells that are written even if they are empty."""


def write_report(run: RunFolder, styles: Iterable[FigureStyle] = (SCREEN,)) -> Report:
    """Write all tables and figures of a run into its folder, and return the report.

    Args:
        run: folder of the run.
        styles: styles in which the figures are drawn.

    Raises:
        RequestError: a raw file is damaged.
        StorageError: a file could not be written.
    """
    report = write_tables(run)
    write_figures(run, report, styles)

    return report


def write_tables(run: RunFolder) -> Report:
    """Write all tables of a run into its folder, and return the report; errors as above."""
    report = Report.of(run)
    tree = Tree(run.path)

    write_all(tree, dict(_frames(report)), tables(report), report.names)
    if not report.results.empty:
        write_parquet(tree, report)

    return report


def write_figures(
    run: RunFolder,
    report: Report,
    styles: Iterable[FigureStyle] = (SCREEN,),
    progress: Reporter | None = None,
) -> None:
    """Draw all figures of a report into the folder of its run.

    Args:
        run: folder of the run.
        report: frames of the run.
        styles: styles in which the figures are drawn.
        progress: display of the progress; None for none.

    Raises:
        StorageError: a file could not be written.
    """
    for style in styles:
        with (progress or Silent()).step("figures, by topic", FIGURE_TOPICS) as step:
            save_figures(Tree(run.path), figures(report, step), style)


def print_tables(console: Console, report: Report, *, every: bool = False) -> None:
    """Print the tables for people.

    Args:
        console: console to print on.
        report: report of the run.
        every: whether those are printed too that are in files alone by default.
    """
    for table in tables(report):
        if table.printed or every:
            print_named_table(console, table, report.names)


def _frames(report: Report) -> Iterator[tuple[str, pd.DataFrame]]:
    """The frames of a report by name, without the empty ones that need not be written."""
    always = () if report.results.empty else _ALWAYS_WRITTEN

    for name in _FRAMES:
        frame: pd.DataFrame = getattr(report, name)
        if name in always or not frame.empty:
            yield name, frame
