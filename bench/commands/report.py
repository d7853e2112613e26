"""`bench report`: tables and plots of a run, again."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.progress import say
from bench.records.folder import RunFolder
from bench.report import Report, print_tables, table_console, write_report
from bench.report.published.figures import write_against_plots
from bench.report.published.pictures import write_against_images
from bench.report.published.publication import read_published
from bench.report.published.tables import Against, print_against, write_against


def report(path: Path, strict: bool, against: str | None = None) -> int:
    """Derive everything from the raw files of the run at `path` and print the tables.

    Args:
        path: the run's folder.
        strict: an invalid cell is a failure.
        against: published figures to set beside the run's, see
            `bench.report.published.publication.read_published`.

    Returns:
        1 where `strict` finds an invalid cell, else 0.

    Raises:
        RequestError: it is no run's folder, a raw file is damaged, or there are no such published
            figures.
    """
    published = (
        read_published(against) if against is not None else None
    )  # a wrong name is told first
    derived = write_report(RunFolder.open(path))
    messages, output = Console(stderr=True), table_console()
    print_tables(output, derived)
    if published is not None:
        name, publication = published
        beside = Against.of(derived, name, publication)
        write_against(path / "tables", beside)
        write_against_plots(path / "plots", name, derived.results, publication.figures)
        write_against_images(path / "plots", name, derived.cells, beside.figures, beside.contest)
        print_against(output, beside)
    say(messages, f"Tables and plots are in {path}/tables and {path}/plots")
    return 1 if strict and report_invalid(messages, derived) else 0


def report_invalid(console: Console, derived: Report) -> bool:
    """Whether a cell is invalid, having said how many are."""
    if derived.invalid:
        say(
            console,
            f"{derived.invalid} of {len(derived.results)} cells are invalid (--strict); the tables say why",
        )
    return derived.invalid > 0
