"""`bench report`: tables and figures of a run, derived again from its raw files."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.commands.display import SHOW_TABLES, Display
from bench.progress import say
from bench.records.folder import RunFolder
from bench.report import Report, write_report
from bench.report.failures import failures
from bench.report.figure_styles import styles_of
from bench.report.published import PublishedComparison, print_published, write_published
from bench.report.published.publication import read_published
from bench.store.atomic import sweep_partials
from bench.text import LONGEST_LINE, one_line


def report(
    path: Path,
    strict: bool,
    against: str | None = None,
    display: Display = SHOW_TABLES,
    style: str = "screen",
) -> int:
    """Derive tables and figures from the raw files of a run, and print tables and decision.

    Args:
        path: folder of the run.
        strict: whether an invalid cell is a failure.
        against: published figures to compare the run with, see
            `bench.report.published.publication.read_published`; None for none.
        display: what is shown.
        style: style of the figures, see `bench.report.figure_styles.styles_of`.

    Returns:
        1 where `strict` finds an invalid cell, else 0.

    Raises:
        RequestError: the path is not the folder of a run, a raw file is damaged, or there is no
            such style or no such published figures.
    """
    # A wrong name of a style or of published figures is reported before anything is written.
    styles = styles_of(style)
    published = None if against is None else read_published(against)
    folder = RunFolder.open(path)
    sweep_partials(folder.path)

    derived = write_report(folder, styles)
    messages = Console(stderr=True)
    display.print_tables(derived)

    if published is not None:
        comparison = PublishedComparison.of(derived, *published)
        write_published(path, comparison, styles)
        if display.shows_tables:
            print_published(display.console, comparison)

    if not display.quiet:
        say(messages, f"Tables and plots are in {path}/tables and {path}/plots")
    for failure in failures(derived):
        say(messages, one_line(f"failed: {failure.what}: {failure.reason}", LONGEST_LINE))
    display.close(derived, path)
    return 1 if strict and report_invalid(messages, derived) else 0


def report_invalid(console: Console, derived: Report) -> bool:
    """Print the number of invalid cells, if any; returns whether there are any."""
    if derived.invalid:
        count = f"{derived.invalid} of {len(derived.results)} cells are invalid"
        say(console, f"{count} (--strict); the tables say why")

    return derived.invalid > 0
