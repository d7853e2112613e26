"""Tables on the terminal: as narrow as it is, without a word that is broken in its middle."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.progress import say
from bench.report.columns import CONSTANT_COLUMNS, TEXT_COLUMNS
from bench.report.escapes import terminal_text
from bench.report.naming import RunNames
from bench.report.writers import MOST_ROWS, NamedTable, cut_note

_IN_A_FILE = 220
"""Number of characters of a line where the output is no terminal and `COLUMNS` is not set."""

_MOST_LINES = 3
"""Number of lines of a cell beyond which its column takes more room."""

_WHOLE = 17
"""Number of characters up to which a value is not broken, although it has a space."""

_NO_BREAK = "\u00a0"
_BEFORE_HALF_WIDTH = re.compile(" (?=±)")
"""Space between a number and half of its interval, at which no line breaks."""

_BETWEEN = 3
"""Number of characters between two columns, the frame included."""


@dataclass(frozen=True)
class _Fitted:
    """A frame of texts that fits into a line.

    Attributes:
        frame: columns that are shown, all of them texts.
        widths: width of each column in characters.
        left_out: headings of the columns that are not.
    """

    frame: pd.DataFrame
    widths: dict[str, int]
    left_out: tuple[str, ...]


def table_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for every column in a file."""
    console = Console()
    is_given = console.is_terminal or os.environ.get("COLUMNS", "").isdigit()

    return console if is_given else Console(width=_IN_A_FILE)


def print_named_table(console: Console, table: NamedTable, names: RunNames | None = None) -> None:
    """Print a table and its notes.

    Args:
        console: console to print on.
        table: table to print.
        names: names in place of specs, for a table without a form of its own for the terminal.
    """
    frame = table.brief if table.brief is not None else (names or RunNames()).shown(table.frame)
    notes = table.notes if table.brief_notes is None else table.brief_notes

    left_out = print_table(console, table.title, frame, table.spare)
    if left_out:
        say_wrapped(console, f"not shown at this width: {', '.join(left_out)} ({table.name}.md)")
    for line in notes.splitlines():
        say_wrapped(console, line)


def print_table(
    console: Console, title: str, frame: pd.DataFrame, spare: Sequence[str] = ()
) -> tuple[str, ...]:
    """Print a frame as a table; labels that all rows share stand above it, once.

    Args:
        console: console to print on.
        title: title of the table.
        frame: rows as text and numbers.
        spare: headings of the columns that are left out first where not all fit.

    Returns:
        headings of the columns that did not fit.
    """
    constant = [
        name for name in frame.columns if name in CONSTANT_COLUMNS and frame[name].nunique() == 1
    ]
    labels = ", ".join(f"{name} {terminal_text(str(frame[name].iloc[0]))}" for name in constant)
    fitted = _fitted(_texts(frame.drop(columns=constant)[:MOST_ROWS]), spare, console.width)

    say_wrapped(console, f"{terminal_text(title)} ({labels})" if labels else terminal_text(title))
    console.print(_drawn(fitted))
    for line in cut_note(frame):
        say(console, line)

    return fitted.left_out


def say_wrapped(console: Console, text: str, indent: str = "") -> None:
    """Print a text in lines that break at spaces; a word that is longer than a line stays whole.

    Args:
        console: console to print on.
        text: text of one line.
        indent: start of every line.
    """
    lines = textwrap.wrap(
        _BEFORE_HALF_WIDTH.sub(_NO_BREAK, text),
        max(console.width, 20),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        say(console, line.replace(_NO_BREAK, " "))


def _drawn(fitted: _Fitted) -> Table:
    table = Table(header_style="bold")
    for name in fitted.frame.columns:
        justify: Literal["left", "right"] = "left" if name in TEXT_COLUMNS else "right"
        width = fitted.widths[name]
        table.add_column(Text(name), justify=justify, width=width, overflow="fold")
    for row in fitted.frame.itertuples(index=False):
        table.add_row(*map(Text, row))

    return table


def _texts(frame: pd.DataFrame) -> pd.DataFrame:
    """The headings and values as the terminal shows them."""
    shown = frame.map(_text)
    shown.columns = pd.Index([terminal_text(str(name)) for name in frame.columns], dtype=object)

    return shown


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else terminal_text(str(value))


def _fitted(frame: pd.DataFrame, spare: Sequence[str], room: int) -> _Fitted:
    """The columns that fit into a line: without the spare ones first, then without the last.

    One column always stays.
    """
    columns = {name: _Column.of(name, frame[name]) for name in frame.columns}
    last = [name for name in reversed(list(columns)) if name not in spare]
    left_out: list[str] = []
    for name in [*(name for name in spare if name in columns), *last]:
        if _line(columns[kept].least for kept in columns if kept not in left_out) <= room:
            break
        if len(left_out) < len(columns) - 1:
            left_out.append(name)

    shown = {name: column for name, column in columns.items() if name not in left_out}
    return _Fitted(
        frame[list(shown)],
        _widths(shown, room),
        tuple(name for name in columns if name in left_out),
    )


def _widths(columns: Mapping[str, _Column], room: int) -> dict[str, int]:
    """The width of each column: what it needs, and more where the line has room for it.

    Room goes to values first and then to headings, of which a table has only one line.
    """
    widths = {name: column.least for name, column in columns.items()}
    for wanted in (
        {name: column.values for name, column in columns.items()},
        {name: column.most for name, column in columns.items()},
    ):
        for name in sorted(columns, key=lambda name: wanted[name] - widths[name]):
            left = room - _line(widths.values())
            widths[name] += max(0, min(left, wanted[name] - widths[name]))

    return {name: min(width, room - _BETWEEN - 1) for name, width in widths.items()}


def _line(widths: Iterable[int]) -> int:
    """The length of a line of columns, the frame included."""
    return sum(width + _BETWEEN for width in widths) + 1


@dataclass(frozen=True)
class _Column:
    """The widths that a column may have, in characters.

    Attributes:
        least: smallest width at which no word breaks and no cell has too many lines.
        values: width at which no value is broken into lines.
        most: width at which nothing is broken into lines, the heading included.
    """

    least: int
    values: int
    most: int

    @classmethod
    def of(cls, heading: str, values: Iterable[str]) -> _Column:
        """The widths of a column with a heading and values."""
        cells = set(values)
        texts = {heading, *cells}
        words = [cell_len(word) for text in texts for word in text.split()]
        whole = [length for length in map(cell_len, cells) if length <= _WHOLE]
        least = max([1, *words, *whole, *(-(-cell_len(text) // _MOST_LINES) for text in texts)])
        while any(_lines(text, least) > _MOST_LINES for text in texts if cell_len(text) > least):
            least += 1

        widest = max([least, *map(cell_len, cells)])
        return cls(least, widest, max(widest, cell_len(heading)))


def _lines(text: str, width: int) -> int:
    """The number of lines of a text that breaks at spaces."""
    return len(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))
