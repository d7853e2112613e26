"""`bench report`: tables and figures of a run, derived again from its raw files."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.progress import reporter, say
from bench.records.folder import RunFolder
from bench.report import Report, print_tables, table_console, write_figures, write_tables
from bench.report.published import PublishedComparison, print_published, write_published
from bench.report.published.publication import read_published
from bench.store.atomic import sweep_partials


def report(path: Path, strict: bool, against: str | None = None, plots: bool = True) -> int:
    """Derive tables and figures from the raw files of a run; the tables are printed first.

    Args:
        path: folder of the run.
        strict: whether an invalid cell is a failure.
        against: published figures to compare the run with, see
            `bench.report.published.publication.read_published`; None for none.
        plots: whether figures are drawn.

    Returns:
        1 where `strict` finds an invalid cell, else 0.

    Raises:
        RequestError: the path is not the folder of a run, a raw file is damaged, or there are no
            such published figures.
    """
    # A wrong name of published figures is reported before anything is written.
    published = None if against is None else read_published(against)
    folder = RunFolder.open(path)
    sweep_partials(folder.path)

    derived = write_tables(folder)
    messages = Console(stderr=True)
    output = table_console()
    print_tables(output, derived)

    if published is not None:
        comparison = PublishedComparison.of(derived, *published)
        if comparison.other_data:
            say(messages, comparison.other_data)
        else:
            print_published(output, comparison)
            write_published(path, comparison, plots)

    draw(folder, derived, messages, plots)
    return 1 if strict and report_invalid(messages, derived) else 0


def draw(run: RunFolder, derived: Report, messages: Console, plots: bool) -> None:
    """Draw the figures of a report if they are wanted, and say where tables and figures are.

    Args:
        run: folder of the run.
        derived: frames of the run, whose tables are written.
        messages: console of the progress and the line.
        plots: whether figures are drawn.

    Raises:
        StorageError: a file could not be written.
    """
    if not plots:
        say(messages, f"Tables are in {run.path}/tables")
        return

    write_figures(run, derived, reporter(messages))
    say(messages, f"Tables and plots are in {run.path}/tables and {run.path}/plots")


def report_invalid(console: Console, derived: Report) -> bool:
    """Print the number of invalid cells, if any; returns whether there are any."""
    if derived.invalid:
        count = f"{derived.invalid} of {len(derived.results)} cells are invalid"
        say(console, f"{count} (--strict); the tables say why")

    return derived.invalid > 0
