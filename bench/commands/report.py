"""`bench report`: tables and plots of a run, again."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.progress import say
from bench.report import Report, print_tables, table_console, write_report
from bench.runs import RunFolder


def report(path: Path, strict: bool) -> int:
    """Derive everything from the raw files of the run at `path` and print the tables.

    Args:
        path: the run's folder.
        strict: an invalid cell is a failure.

    Returns:
        1 where `strict` finds an invalid cell, else 0.

    Raises:
        RequestError: it is no run's folder, or a raw file is damaged.
    """
    derived = write_report(RunFolder.open(path))
    messages = Console(stderr=True)
    print_tables(table_console(), derived)
    say(messages, f"Tables and plots are in {path}/tables and {path}/plots")
    return 1 if strict and told_invalid(messages, derived) else 0


def told_invalid(console: Console, derived: Report) -> bool:
    """Whether a cell is invalid, having said how many are."""
    if derived.invalid:
        say(console, f"{derived.invalid} of {len(derived.results)} cells are invalid (--strict); the tables say why")
    return derived.invalid > 0
