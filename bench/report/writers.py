"""Writers: tables as CSV, Markdown, LaTeX and on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.progress import say
from bench.report.escapes import (
    csv_text,
    escaped,
    latex_comment,
    latex_rows,
    latex_text,
    markdown_note,
    markdown_text,
    terminal_text,
)
from bench.store.tree import Tree, file_stem

_TITLE_COLUMNS = {
    *("dataset", "classifier", "attack", "eps", "threat", "norm", "seed", "seeds", "cells"),
    *("basis", "engine", "precision", "device"),
}
"""Columns that the terminal names in a table's title where all rows hold the same value."""

_TEXT_COLUMNS = {
    *_TITLE_COLUMNS,
    *("defense", "A", "B", "target", "network", "trained for"),
    *("verdict", "reasons", "result", "strongest", "not ok", "note"),
    *("member", "most by", "not applied"),
}
"""Columns that the terminal aligns on the left."""

MOST_ROWS = 2_000
"""Number of rows at which a table for people is cut; its CSV file has them all."""


@dataclass(frozen=True, eq=False)
class NamedTable:
    """A table for people.

    Attributes:
        name: name of its files, without ending.
        title: title on the terminal.
        frame: rows as text and numbers, under the headings that people read.
        notes: lines under the table; empty for none.
        printed: whether the table is also shown on the terminal.
    """

    name: str
    title: str
    frame: pd.DataFrame
    notes: str = ""
    printed: bool = True


@dataclass(frozen=True, eq=False)
class NamedFigure:
    """A figure and the name of its files.

    Attributes:
        name: name of its files, without ending; characters that do not suit a file name become `-`.
        figure: the drawing.
    """

    name: str
    figure: Figure


def write_all(tree: Tree, frames: Mapping[str, pd.DataFrame], tables: Iterable[NamedTable]) -> None:
    """Write frames as CSV and tables for people as Markdown and LaTeX into `tables`.

    A table also has a CSV file of its name: the frame of that name, or else its own rows.
    """
    for name, frame in frames.items():
        write_frame(tree, name, frame)

    for table in tables:
        write_table(tree, table)
        if table.name not in frames:
            write_frame(tree, table.name, table.frame)


def write_frame(tree: Tree, name: str, frame: pd.DataFrame) -> None:
    """Write a frame as CSV with every column into `tables`."""
    tree.write_text("tables", f"{file_stem(name)}.csv", text=csv_of(frame))


def csv_of(frame: pd.DataFrame) -> str:
    """A frame as the text of a CSV file, numbers with nine digits."""
    return str(escaped(frame, csv_text).to_csv(index=False, float_format="%.9g"))


def write_table(tree: Tree, table: NamedTable) -> None:
    """Write a table as Markdown and LaTeX, its notes below, into `tables`."""
    stem = file_stem(table.name)
    frame = table.frame[:MOST_ROWS]
    notes = [*table.notes.splitlines(), *_cut(table.frame)]

    markdown = escaped(frame, markdown_text).to_markdown(index=False, disable_numparse=True)
    below = "".join(f"\n{markdown_note(line)}\n" for line in notes)
    tree.write_text("tables", f"{stem}.md", text=f"{markdown}\n{below}")

    latex = escaped(frame, latex_text).to_latex(index=False, escape=False, float_format="%g")
    below = "".join(f"% {latex_comment(line)}\n" for line in notes)
    tree.write_text("tables", f"{stem}.tex", text=latex_rows(latex) + below)


def _cut(frame: pd.DataFrame) -> list[str]:
    """A note on rows that are left out; nothing where all are shown."""
    if len(frame) <= MOST_ROWS:
        return []
    return [f"the first {MOST_ROWS} of {len(frame)} rows; the CSV files have them all"]


def table_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for every column in a file."""
    console = Console()

    return console if console.is_terminal else Console(width=220)


def print_named_table(console: Console, table: NamedTable) -> None:
    """Print a table and its notes."""
    print_table(console, table.title, table.frame)
    if table.notes:
        say(console, table.notes)


def print_table(console: Console, title: str, frame: pd.DataFrame) -> None:
    """Print a frame as a table; labels that all rows share move into the title."""
    shared = [
        name for name in frame.columns if name in _TITLE_COLUMNS and frame[name].nunique() == 1
    ]
    rows = frame.drop(columns=shared)[:MOST_ROWS]
    labels = ", ".join(f"{name} {frame[name].iloc[0]}" for name in shared)

    table = Table(
        title=_shown(f"{title} ({labels})" if labels else title),
        title_justify="left",
        header_style="bold",
    )
    for name in rows.columns:
        left = name in _TEXT_COLUMNS
        table.add_column(_shown(name), justify="left" if left else "right", overflow="fold")
    for row in rows.itertuples(index=False):
        table.add_row(*(_shown(value) for value in row))

    console.print(table)
    for line in _cut(frame):
        say(console, line)


def _shown(value: object) -> Text:
    """A value in the terminal's table; rich takes no markup from a `Text`."""
    return Text(f"{value:g}" if isinstance(value, float) else terminal_text(str(value)))
