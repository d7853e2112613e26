"""What a command shows of a run: the decision alone, the main tables, all of them, or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.errors import RequestError
from bench.progress import Reporter, Silent, reporter, say
from bench.report import Report, print_tables, table_console, tables
from bench.report.decision.cards import print_cards
from bench.report.decision.document import decision_json
from bench.report.terminal import say_wrapped
from bench.report.writers import NamedTable


@dataclass(frozen=True)
class Display:
    """The options that say what is shown; the defaults show the main tables.

    Attributes:
        quiet: whether nothing but the decision and failures is shown.
        verbose: whether all tables are printed.
        json: whether standard output has the decision as JSON, and nothing else.
    """

    quiet: bool = False
    verbose: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        """Check that the options can go together.

        Raises:
            RequestError: both `quiet` and `verbose` are set, or both `verbose` and `json`.
        """
        if self.verbose and (self.quiet or self.json):
            raise RequestError(
                f"give --verbose or {'--quiet' if self.quiet else '--json'}, not both"
            )

    @property
    def shows_tables(self) -> bool:
        """Whether tables are printed at all."""
        return not (self.quiet or self.json)

    @property
    def console(self) -> Console:
        """Console of the tables and the cards."""
        return table_console()

    def progress(self, messages: Console) -> Reporter:
        """The reporter of long steps.

        Args:
            messages: console that progress is shown on.
        """
        return Silent() if self.quiet else reporter(messages)

    def shows(self, table: NamedTable) -> bool:
        """Whether a table is printed."""
        return self.shows_tables and (table.printed or self.verbose)

    def print_tables(self, report: Report) -> None:
        """Print the tables of a report, and name the files of the rest."""
        if self.shows_tables:
            print_tables(self.console, report, every=self.verbose)
            self.name_others(report)

    def name_others(self, report: Report) -> None:
        """Say in one line which tables are in files alone."""
        others = [f"{table.name}.md" for table in tables(report) if not self.shows(table)]
        if others and self.shows_tables:
            text = f"also in tables/: {', '.join(others)} (--verbose prints them)"
            say_wrapped(self.console, text)

    def close(self, report: Report, run: Path) -> None:
        """Print what a command ends with: the card of each defense, or the document for programs.

        Args:
            report: report of the run.
            run: folder of the run.
        """
        if self.json:
            say(Console(), decision_json(report, run))
        else:
            print_cards(self.console, report)


SHOW_TABLES = Display()
"""The default: the main tables, then the decision."""
