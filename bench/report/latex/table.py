"""A table for LaTeX: headings of one or more levels, cells, caption and notes, in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import pandas as pd

from bench.report.latex.widths import TEXT_WIDTH
from bench.report.naming import RunNames


@dataclass(frozen=True)
class FontSize:
    """A size of the font of a table.

    Attributes:
        share: width of a text, as a share of that in the document's own size.
        gap: points between two columns.
    """

    share: float
    gap: float


FONTS = {
    "normalsize": FontSize(1.0, 12.0),
    "small": FontSize(0.93, 9.0),
    "footnotesize": FontSize(0.86, 7.0),
}
"""LaTeX's sizes of fonts by the name of their command, the document's own first."""

Cell = tuple[int, int]
"""Row and column of a cell."""


@dataclass(frozen=True)
class LatexTable:
    """A table for LaTeX.

    Attributes:
        name: name of its file, and of its label.
        caption: sentence above the table.
        headings: heading of each column, from the highest level to the column's own; neighbors
            that share a higher level are grouped under it.
        rows: cells as plain text.
        labels: number of leading columns that name a row; each part of a split table has them.
        texts: columns of words, which stand on the left and may be broken.
        notes: lines below the table.
        bold: cells in bold type.
        width: width of a line in points.
        font: size of the font, one of `FONTS`.
    """

    name: str
    caption: str
    headings: Sequence[tuple[str, ...]]
    rows: Sequence[Sequence[str]]
    labels: int
    texts: frozenset[int]
    notes: Sequence[str] = ()
    bold: frozenset[Cell] = frozenset()
    width: float = TEXT_WIDTH
    font: str = "normalsize"

    @property
    def room(self) -> float:
        """Width of a line in points of the document's own font."""
        return self.width / FONTS[self.font].share

    @property
    def gap(self) -> float:
        """Width between two columns in points of the document's own font."""
        return FONTS[self.font].gap / FONTS[self.font].share

    @classmethod
    def of(
        cls,
        name: str,
        title: str,
        frame: pd.DataFrame,
        notes: Sequence[str],
        constant: frozenset[str],
        texts: frozenset[str],
        names: RunNames,
    ) -> Self:
        """The table of a frame; labels that all rows share move into the caption.

        Args:
            name: name of its file.
            title: first part of the caption.
            frame: rows as text and numbers, under the headings that people read.
            notes: lines below the table.
            constant: columns that may move into the caption.
            texts: columns of words. The leading ones are labels.
            names: short names of the specs in the cells.
        """
        shared = [each for each in frame.columns if each in constant and frame[each].nunique() == 1]
        short = {
            str(each): [names.shortened(_shown(value)) for value in frame[each]] for each in frame
        }
        values = ", ".join(f"{each} {short[each][0]}" for each in shared)
        columns = [each for each in short if each not in shared]
        shown = " ".join([*columns, *(cell for cells in short.values() for cell in cells)])
        stand = [f"{name}: {spec}" for name, spec in names.hidden().items() if name in shown]

        return cls(
            name=name,
            caption=f"{title} ({values})" if values else title,
            headings=[(names.shortened(column),) for column in columns],
            rows=list(zip(*(short[column] for column in columns), strict=True)),
            labels=_leading(columns, texts | constant),
            texts=frozenset(index for index, column in enumerate(columns) if column in texts),
            notes=[*notes, *stand],
        )


def _leading(columns: Sequence[str], labels: frozenset[str]) -> int:
    """The number of leading columns that are labels."""
    others = [index for index, column in enumerate(columns) if column not in labels]

    return others[0] if others else min(1, len(columns))


def _shown(value: object) -> str:
    """A value as text; a missing one is empty."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:g}"
    return "" if value is None else str(value)
