"""The tables of a report that grows: each is printed when it is new, and when it has changed."""

from __future__ import annotations

from bench.commands.display import Display
from bench.report import Report, tables
from bench.report.terminal import print_named_table
from bench.report.writers import NamedTable


class PrintedTables:
    """Prints the tables of a run's reports, one report after the other.

    Args:
        display: what is shown.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._console = display.console
        self._printed: dict[str, NamedTable] = {}

    def show(self, report: Report, *, timed: bool = True) -> None:
        """Print the tables that were not printed before with the same content.

        Args:
            report: report of the run.
            timed: whether the timings are complete; else tables that they change are left out.
        """
        for table in tables(report):
            if not self._display.shows(table) or (table.timed and not timed):
                continue
            if not _is_same(self._printed.get(table.name), table):
                print_named_table(self._console, table, report.names)
            self._printed[table.name] = table


def _is_same(earlier: NamedTable | None, table: NamedTable) -> bool:
    """Whether two tables look the same."""
    if earlier is None:
        return False

    texts = (earlier.title, earlier.notes) == (table.title, table.notes)
    return texts and earlier.frame.equals(table.frame)
