"""The layout of a table: the width of each column, and the parts of a table that is too wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from bench.report.latex.table import LatexTable
from bench.report.latex.widths import cell_width, text_width, wrapped

_LABELS = 0.6
"""Largest share of a line that the columns of labels take."""

_BROKEN = 130.0
"""Points from which a column of words is broken."""

_LEAST = 42.0
"""Points below which no column is broken."""

_HEADING = 58.0
"""Points from which a heading is broken between its words, and a longer word within."""


@dataclass(frozen=True)
class PlacedColumn:
    """A column of a part.

    Attributes:
        index: number of the column in the table.
        width: width in points.
        is_broken: whether its cells are broken to that width.
    """

    index: int
    width: float
    is_broken: bool


def parts(table: LatexTable) -> list[list[PlacedColumn]]:
    """The parts of a table, each of which fits a line: its labels, and some of its columns."""
    labels = _placed_labels(table)
    room = table.room - sum(column.width + table.gap for column in labels)
    found: list[list[PlacedColumn]] = [[]]
    used = 0.0
    for column in _placed_values(table, room - table.gap):
        if found[-1] and used + column.width + table.gap > room:
            found.append([])
            used = 0.0
        found[-1].append(column)
        used += column.width + table.gap

    return [[*labels, *columns] for columns in found]


def lines(table: LatexTable, columns: Sequence[PlacedColumn], notes: Sequence[str]) -> float:
    """The height of a part with notes below it, in lines."""
    width = max(_LEAST, sum(column.width + table.gap for column in columns))
    below = sum(1 + text_width(note) / width for note in notes)
    head = sum(1 for _ in table.headings[0]) + 2 if table.headings else 2

    return 5 + head + below + sum(_row_lines(row, columns) for row in table.rows)


def _row_lines(row: Sequence[str], columns: Sequence[PlacedColumn]) -> int:
    broken = [column for column in columns if column.is_broken]

    return max((_lines_of(row[column.index], column.width) for column in broken), default=1)


def groups(
    table: LatexTable, columns: Sequence[PlacedColumn], level: int
) -> Iterator[tuple[str, int]]:
    """The headings of a level above the columns of a part, each with the number of its columns."""
    paths = [table.headings[column.index][: level + 1] for column in columns]

    for path, members in groupby(paths):
        yield path[-1], len(list(members))


def _lines_of(text: str, width: float) -> int:
    """The number of lines of a cell, with one to spare where a word may be broken."""
    longest = max(map(text_width, text.split()), default=0.0)

    return len(wrapped(text, width)) + int(longest / width)


def _natural(table: LatexTable, index: int) -> float:
    """The width of a column whose cells are in one line each."""
    cells = (cell_width(row[index]) for row in table.rows)
    heading = table.headings[index][-1]
    longest = max(map(text_width, wrapped(heading, _HEADING)))

    return max([min(longest, _HEADING), *cells])


def _placed_labels(table: LatexTable) -> list[PlacedColumn]:
    """The columns of labels; the widest are broken until all of them leave room for numbers."""
    indices = range(table.labels)
    widths = {index: _natural(table, index) for index in indices}
    natural = dict(widths)
    room = (_LABELS if len(table.headings) > table.labels else 1.0) * table.room

    while widths and sum(widths.values()) + table.gap * len(widths) > room:
        widest = max(widths, key=lambda index: widths[index])
        if widths[widest] <= _LEAST:
            break
        widths[widest] = max(_LEAST, 0.9 * widths[widest])

    return [PlacedColumn(index, widths[index], widths[index] < natural[index]) for index in indices]


def _placed_values(table: LatexTable, room: float) -> Iterator[PlacedColumn]:
    """The other columns; one of words is broken, and so is any that is wider than its room.

    The columns of a group are as wide together as its heading, up to `_BROKEN`.
    """
    wide = dict(enumerate(_natural(table, index) for index in range(len(table.headings))))
    for level in range(len(table.headings[0]) - 1 if table.headings else 0):
        indices = [PlacedColumn(index, 0.0, False) for index in range(len(table.headings))]
        start = 0
        for heading, count in groups(table, indices, level):
            together = sum(wide[start + place] + table.gap for place in range(count)) - table.gap
            missing = max(0.0, min(text_width(heading), _BROKEN) - together) / count
            for place in range(count):
                wide[start + place] += missing
            start += count

    for index in range(table.labels, len(table.headings)):
        most = min(room, _BROKEN) if index in table.texts else room
        yield PlacedColumn(index, min(wide[index], most), wide[index] > most)
