"""`bench report`: tables and figures of a run, derived again from its raw files."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.commands.display import SHOW_TABLES, Display
from bench.commands.drawings import DRAW_ALL, Drawings
from bench.errors import RequestError
from bench.progress import say
from bench.records.folder import RunFolder
from bench.report import Report, write_tables
from bench.report.failures import failures
from bench.report.page.source import Reference
from bench.report.published import PublishedComparison, print_published, write_published
from bench.report.published.publication import read_published
from bench.store.atomic import sweep_partials
from bench.text import LONGEST_LINE, one_line


def report(
    path: Path,
    strict: bool,
    against: str | None = None,
    display: Display = SHOW_TABLES,
    drawings: Drawings = DRAW_ALL,
    *,
    other: Path | None = None,
) -> int:
    """Derive tables and drawings from the raw files of a run; print tables first, decision last.

    Args:
        path: folder of the run.
        strict: whether an invalid cell is a failure.
        against: published figures to compare the run with, see
            `bench.report.published.publication.read_published`; None for none.
        display: what is shown.
        drawings: figures and page that are made.
        other: folder of another run, which the page shows this one beside; None for none.

    Returns:
        1 where `strict` finds an invalid cell, else 0.

    Raises:
        RequestError: the path is not the folder of a run, a raw file is damaged, there are no such
            published figures, or the other run cannot be compared or has no page to be on.
    """
    if other is not None and not drawings.page:
        raise RequestError("--compare is a part of the page: leave out --no-html")

    # A wrong name of published figures or of a run is reported before anything is written.
    published = None if against is None else read_published(against)
    folder = RunFolder.open(path)
    reference = None if other is None else Reference.of(folder, RunFolder.open(other))
    sweep_partials(folder.path)

    derived = write_tables(folder)
    messages = Console(stderr=True)
    display.print_tables(derived)

    if published is not None:
        comparison = PublishedComparison.of(derived, *published)
        if comparison.other_data:
            say(messages, comparison.other_data)
        else:
            if display.shows_tables:
                print_published(display.console, comparison)
            write_published(path, comparison, drawings.styles)

    drawings.draw(folder, derived, display, reference)
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
