"""Writers: tables as CSV, Markdown, LaTeX and on the terminal, figures as PNG and SVG."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.progress import say
from bench.store.atomic import write_bytes, write_text

_TITLE_COLUMNS = {
    *("dataset", "classifier", "attack", "eps", "threat", "norm", "seed", "seeds", "cells"),
    *("basis", "engine", "precision", "device"),
}
"""Columns that the terminal names in a table's title where all rows hold the same value."""

_TEXT_COLUMNS = {
    *_TITLE_COLUMNS,
    *("defense", "A", "B", "target", "network", "trained for"),
    *("verdict", "reasons", "result", "strongest", "not ok", "note"),
}
"""Columns that the terminal aligns on the left."""

_DPI = 150
_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9.=_-]+")


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


def write_frame(folder: Path, name: str, frame: pd.DataFrame) -> None:
    """Write a frame as CSV with every column, numbers with nine digits."""
    write_text(folder / f"{name}.csv", frame.to_csv(index=False, float_format="%.9g"))


def write_table(folder: Path, table: NamedTable) -> None:
    """Write a table as Markdown and LaTeX, its notes below."""
    markdown = table.frame.to_markdown(index=False, disable_numparse=True) + "\n"
    latex = table.frame.to_latex(index=False, escape=True, float_format="%g")
    notes = table.notes.splitlines()

    write_text(folder / f"{table.name}.md", markdown + "".join(f"\n{line}\n" for line in notes))
    write_text(folder / f"{table.name}.tex", latex + "".join(f"% {line}\n" for line in notes))


def save_figure(folder: Path, named: NamedFigure) -> None:
    """Save a figure as PNG and SVG; the same figure gives the same bytes."""
    figure = named.figure
    png = io.BytesIO()
    svg = io.BytesIO()

    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(_DPI)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # a second layout would differ between the formats
    canvas.print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]
    with mpl.rc_context({"svg.hashsalt": "purification-bench"}):
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})  # type: ignore[no-untyped-call]

    stem = _NOT_IN_FILE_NAMES.sub("-", named.name)
    write_bytes(folder / f"{stem}.png", png.getvalue())
    write_bytes(folder / f"{stem}.svg", svg.getvalue())


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
    rows = frame.drop(columns=shared)
    labels = ", ".join(f"{name} {frame[name].iloc[0]}" for name in shared)

    table = Table(
        title=Text(f"{title} ({labels})" if labels else title),
        title_justify="left",
        header_style="bold",
    )
    for name in rows.columns:
        left = name in _TEXT_COLUMNS
        table.add_column(Text(str(name)), justify="left" if left else "right", overflow="fold")
    for row in rows.itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))

    console.print(table)


def _cell(value: object) -> Text:
    return Text(f"{value:g}" if isinstance(value, float) else str(value))
