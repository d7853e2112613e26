"""The texts of a paper's table: its cells, caption and notes, as LaTeX, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.report.escapes import markdown_note, markdown_text
from bench.report.latex.layout import parts
from bench.report.latex.table import FONTS, LatexTable
from bench.report.latex.widths import COLUMN_WIDTH, TEXT_WIDTH
from bench.report.latex.writing import latex_of
from bench.report.naming import RunNames
from bench.report.paper_table.pivot import Pivot
from bench.report.writers import csv_of

INTERVALS = ("plus-minus", "ends", "none")
"""Ways to show an interval: half of its length, both ends, or not at all."""

_WIDTHS = (COLUMN_WIDTH, TEXT_WIDTH)

_MARKS = {
    "?": "?: suspect, or a worst case that no sound attack on the defense tested",
    "!": "!: invalid",
}
_BOLD = "bold: the best{ties}; none where a marked number would be"
_TIES = ", and those that a paired test on the same images (Holm, 0.05) does not tell apart from it"


@dataclass(frozen=True, eq=False)
class PaperTable:
    """A pivot as a reader sees it.

    Attributes:
        pivot: numbers of the table.
        names: short names of specs, with the user's own.
        intervals: one of `INTERVALS`.
    """

    pivot: Pivot
    names: RunNames
    intervals: str

    @property
    def name(self) -> str:
        """The name of the table's files, without ending."""
        request = self.pivot.request
        over = f"_by_{'-'.join(request.columns)}" if request.columns else ""

        return f"table_{request.value}_{'-'.join(request.rows)}{over}"

    def latex(self) -> str:
        """The table as LaTeX, a column wide if it fits in some font, else as wide as a page."""
        table = LatexTable(
            name=self.name,
            caption=self._caption(),
            headings=self._headings(),
            rows=self._texts(),
            labels=len(self.pivot.request.rows),
            texts=frozenset(range(len(self.pivot.request.rows))),
            notes=list(self._notes()),
            bold=self._bold(),
        )
        sizes = (replace(table, width=width, font=font) for width in _WIDTHS for font in FONTS)

        return latex_of(next(filter(_fits, sizes), table))

    def markdown(self) -> str:
        """The table as Markdown, its caption above and its notes below."""
        bold = self._bold()
        headings = [markdown_text(", ".join(filter(None, levels))) for levels in self._headings()]
        cells = [
            [
                f"**{markdown_text(text)}**" if (row, column) in bold else markdown_text(text)
                for column, text in enumerate(texts)
            ]
            for row, texts in enumerate(self._texts())
        ]
        frame = pd.DataFrame(cells, columns=pd.Index(headings), dtype=object)
        labels = len(self.pivot.request.rows)
        align = ["left"] * labels + ["right"] * (len(headings) - labels)
        table = frame.to_markdown(index=False, disable_numparse=True, colalign=align)
        notes = "".join(f"\n{markdown_note(note)}\n" for note in self._notes())

        return f"{markdown_note(self._caption())}\n\n{table}\n{notes}"

    def csv(self) -> str:
        """The numbers as CSV, one a row, with all their digits."""
        columns = [*self._labels(), "value", "low", "high", "mark", "best", "n"]

        return csv_of(self.pivot.numbers[columns])

    def _labels(self) -> tuple[str, ...]:
        request = self.pivot.request
        return (*request.rows, *request.columns)

    def _caption(self) -> str:
        constant = [_titled(*item, self.names) for item in self.pivot.constant.items()]

        return ", ".join([self.pivot.value.title, *constant])

    def _notes(self) -> Iterator[str]:
        pivot = self.pivot
        numbers = pivot.numbers
        shown = {"plus-minus": "±: half of the interval", "ends": "in brackets: its ends"}
        counted = "calls" if pivot.value.lower_is_better else "images"
        counts = "-".join(
            dict.fromkeys(f"{end:g}" for end in (numbers["n"].min(), numbers["n"].max()))
        )
        yield "; ".join(
            filter(
                None, [pivot.value.meaning, shown.get(self.intervals, ""), f"{counts} {counted}"]
            )
        )
        if numbers["best"].any():
            yield _BOLD.format(ties=_TIES if any(numbers["ties"]) and pivot.seeds == 1 else "")
        if pivot.seeds > 1:
            yield f"means over {pivot.seeds} seeds, of the ends of the interval too"
        for mark, meaning in _MARKS.items():
            if (numbers["mark"] == mark).any():
                yield meaning
        used = {self.names[label][value] for label in self._labels() for value in numbers[label]}
        used |= {self.names[label][value] for label, value in pivot.constant.items()}
        for short, spec in self.names.hidden().items():
            if short in used:
                yield f"{short}: {spec}"

    def _rows(self) -> list[tuple[Any, ...]]:
        return self._ordered(self.pivot.request.rows)

    def _columns(self) -> list[tuple[Any, ...]]:
        return self._ordered(self.pivot.request.columns)

    def _ordered(self, labels: Sequence[str]) -> list[tuple[Any, ...]]:
        """The values of some labels that occur together: specs as the run has them, numbers up."""
        numbers = self.pivot.numbers
        found = list(dict.fromkeys(zip(*(numbers[label] for label in labels), strict=True)))
        orders = [_order(label, numbers[label], self.names) for label in labels]

        def position(values: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(order(value) for order, value in zip(orders, values, strict=True))

        return sorted(found, key=position) if labels else [()]

    def _headings(self) -> list[tuple[str, ...]]:
        """The headings of all columns; those of the rows' labels have empty groups above."""
        request = self.pivot.request
        above = ("",) * max(0, len(request.columns) - 1)
        own = [
            tuple(
                _titled(label, value, self.names)
                for label, value in zip(request.columns, values, strict=True)
            )
            for values in self._columns()
        ]

        return [
            *((*above, label) for label in request.rows),
            *(each or (request.value,) for each in own),
        ]

    def _texts(self) -> list[list[str]]:
        """The cells, row by row."""
        cells = {place: self._cell(row) for place, row in self._places().items()}
        columns = range(len(self._columns()))

        return [
            [
                *map(self._label, self.pivot.request.rows, values),
                *(cells.get((number, column), "") for column in columns),
            ]
            for number, values in enumerate(self._rows())
        ]

    def _label(self, label: str, value: object) -> str:
        return self.names[label][_plain(value)]

    def _bold(self) -> frozenset[tuple[int, int]]:
        labels = len(self.pivot.request.rows)
        places = self._places().items()

        return frozenset((row, labels + column) for (row, column), each in places if each["best"])

    def _places(self) -> dict[tuple[int, int], dict[Any, Any]]:
        """The numbers by row and column of the table."""
        request = self.pivot.request
        rows = self._rows()
        columns = self._columns()

        return {
            (
                rows.index(tuple(row[label] for label in request.rows)),
                columns.index(tuple(row[label] for label in request.columns)),
            ): row
            for row in self.pivot.numbers.to_dict("records")
        }

    def _cell(self, row: dict[Any, Any]) -> str:
        value = self.pivot.value
        shown = {
            "plus-minus": f" ±{value.half((row['high'] - row['low']) / 2)}",
            "ends": f" [{value.text(row['low'])}, {value.text(row['high'])}]",
        }
        mark = f" {row['mark']}" if row["mark"] else ""

        return f"{value.text(row['value'])}{shown.get(self.intervals, '')}{mark}"


def _fits(table: LatexTable) -> bool:
    """Whether a table needs no break, neither of itself nor of a cell."""
    found = parts(table)

    return len(found) == 1 and not any(column.is_broken for column in found[0])


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _titled(label: str, value: object, names: RunNames) -> str:
    """A value of a label as a heading or in a caption; a number needs the label's name."""
    text = names[label][_plain(value)]

    return f"{label} {text}" if label in ("eps", "seed") else text


def _order(label: str, values: pd.Series[Any], names: RunNames) -> Callable[[Any], Any]:
    """The sort key of a label's values."""
    if label in ("eps", "seed"):
        return lambda value: value

    known = [*names[label].names, *dict.fromkeys(map(str, values))]
    return lambda value: known.index(str(value))
