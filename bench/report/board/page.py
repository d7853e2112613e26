"""The page of a board, one file as that of a run."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from bench.report.board.board import Board
from bench.report.board.tables import board_tables
from bench.report.page.page import Heading, document
from bench.report.page.section import Section
from bench.report.page.tables import named_table_html
from bench.store.tree import Tree

FILE = "board.html"
"""Name of the page in the folder of its board."""


def write_board_page(tree: Tree, board: Board) -> None:
    """Write the page of a board.

    Raises:
        StorageError: the file could not be written.
    """
    summary = f"{len(board.tables)} tables of comparable numbers"
    heading = Heading("a board of runs", ", ".join(board.runs), summary)
    tree.write_text(FILE, text=document(heading, list(_sections(board)), figures=False))


def _sections(board: Board) -> Iterator[Section]:
    """A section for each data set, classifier and norm, with a table for each budget."""
    groups: dict[str, list[Markup]] = {}
    for table, named in zip(board.tables, board_tables(board), strict=True):
        conditions = table.conditions
        title = f"{conditions.dataset}, {conditions.classifier}, {conditions.norm}"
        reasons = {
            (row, "worst-case accuracy"): str(note)
            for row, note in enumerate(table.frame["note"])
            if note
        }
        groups.setdefault(title, []).append(named_table_html(named, reasons))

    for number, (title, shown) in enumerate(groups.items(), start=1):
        yield Section(f"group-{number}", title, Markup("\n").join(shown))
