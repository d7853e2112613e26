"""The tables of a report that grows: each is printed when it is new, and when it has changed."""

from __future__ import annotations

from rich.console import Console

from bench.report import Report, tables
from bench.report.terminal import print_named_table
from bench.report.writers import NamedTable


class PrintedTables:
    """Prints the tables of a run's reports, one report after the other.

    Args:
        console: console of the tables.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed: dict[str, NamedTable] = {}

    def show(self, report: Report) -> None:
        """Print the tables that were not printed before with the same content."""
        for table in tables(report):
            if not table.printed:
                continue
            if not _is_same(self._printed.get(table.name), table):
                print_named_table(self._console, table)
            self._printed[table.name] = table


def _is_same(earlier: NamedTable | None, table: NamedTable) -> bool:
    """Whether two tables look the same."""
    if earlier is None:
        return False

    texts = (earlier.title, earlier.notes) == (table.title, table.notes)
    return texts and earlier.frame.equals(table.frame)
