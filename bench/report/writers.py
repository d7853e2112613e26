"""Writers: tables as CSV, Markdown and LaTeX; `bench.report.terminal` prints them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from bench.report.columns import CONSTANT_COLUMNS, TEXT_COLUMNS
from bench.report.escapes import (
    csv_text,
    escaped,
    markdown_note,
    markdown_text,
)
from bench.report.latex.table import LatexTable
from bench.report.latex.writing import latex_of
from bench.report.naming import RunNames
from bench.store.tree import Tree, file_stem

MOST_ROWS = 2_000
"""Number of rows at which a table for people is cut; its CSV file has them all."""

MOST_LATEX_ROWS = 200
"""Number of rows at which a table for LaTeX is cut, which then has several pages already."""


@dataclass(frozen=True, eq=False)
class NamedTable:
    """A table for people.

    Attributes:
        name: name of its files, without ending.
        title: title on the terminal.
        frame: rows as text and numbers, under the headings that people read.
        notes: lines under the table; empty for none.
        printed: whether the table is also shown on the terminal without `--verbose`.
        brief: the rows as a terminal shows them, with short names and intervals as ±; None for
            those of `frame`.
        brief_notes: lines under the table on the terminal; None for those of `notes`.
        spare: headings of the columns that a narrow terminal leaves out first, in this order.
        labels: columns that name a row beside those that do in every table.
    """

    name: str
    title: str
    frame: pd.DataFrame
    notes: str = ""
    printed: bool = True
    brief: pd.DataFrame | None = None
    brief_notes: str | None = None
    spare: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class NamedFigure:
    """A figure and the name of its files.

    Attributes:
        name: name of its files, without ending; characters that do not suit a file name become `-`.
        figure: the drawing.
    """

    name: str
    figure: Figure


def write_all(
    tree: Tree,
    frames: Mapping[str, pd.DataFrame],
    tables: Iterable[NamedTable],
    names: RunNames | None = None,
) -> None:
    """Write frames as CSV and tables for people as Markdown and LaTeX into `tables`.

    A table also has a CSV file of its name: the frame of that name, or else its own rows.

    Args:
        tree: folder of the run.
        frames: frames by the name of their file.
        tables: tables for people.
        names: short names of specs, see `write_table`.
    """
    for name, frame in frames.items():
        write_frame(tree, name, frame)

    for table in tables:
        write_table(tree, table, names)
        if table.name not in frames:
            write_frame(tree, table.name, table.frame)


def write_frame(tree: Tree, name: str, frame: pd.DataFrame) -> None:
    """Write a frame as CSV with every column into `tables`."""
    tree.write_text("tables", f"{file_stem(name)}.csv", text=csv_of(frame))


def csv_of(frame: pd.DataFrame) -> str:
    """A frame as the text of a CSV file, numbers with nine digits."""
    return str(escaped(frame, csv_text).to_csv(index=False, float_format="%.9g"))


def write_table(tree: Tree, table: NamedTable, names: RunNames | None = None) -> None:
    """Write a table as Markdown and LaTeX, its notes below, into `tables`.

    Args:
        tree: folder of the run.
        table: table to write.
        names: short names of specs, which the LaTeX file uses; None for none.
    """
    stem = file_stem(table.name)
    frame = table.frame[:MOST_ROWS]
    notes = [*table.notes.splitlines(), *cut_note(table.frame)]

    markdown = escaped(frame, markdown_text).to_markdown(index=False, disable_numparse=True)
    below = "".join(f"\n{markdown_note(line)}\n" for line in notes)
    tree.write_text("tables", f"{stem}.md", text=f"{markdown}\n{below}")

    notes = [*table.notes.splitlines(), *cut_note(table.frame, MOST_LATEX_ROWS)]
    latex = LatexTable.of(
        table.name,
        table.title,
        table.frame[:MOST_LATEX_ROWS],
        notes,
        constant=CONSTANT_COLUMNS,
        texts=TEXT_COLUMNS | set(table.labels),
        names=names or RunNames(),
    )
    tree.write_text("tables", f"{stem}.tex", text=latex_of(latex))


def cut_note(frame: pd.DataFrame, most: int = MOST_ROWS) -> list[str]:
    """A note on rows that are left out; nothing where all are shown."""
    if len(frame) <= most:
        return []
    return [f"the first {most} of {len(frame)} rows; the CSV files have them all"]
