"""Numbers that a page quotes, checked against the file that its comment names.

The comment is `<!-- from: FILE ... [where COLUMN=VALUE ...] -->`, with CSV files, or Markdown files
whose tables and lines are read; `*` in a name stands for any text. A table's cell that begins with
a number is a quotation: all its numbers must stand in one row of a file, rounded as printed. The
words of the row's other cells and of the column's heading narrow down the rows, wherever a file has
them as cells; a heading that is the name of a column narrows down the columns. Of a paragraph every
number with decimals must stand somewhere in the files.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from tests.docs.markdown import ROOT, Block, blocks

KEYS = frozenset({"eps", "batch", "batch_size", "restarts", "steps", "l", "printed", "epsilon"})
"""Columns whose numbers say which row it is."""

_NUMBER = re.compile(r"(?<![\w.])([-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?)(\s?%)?")
_DECIMAL = re.compile(r"\d?\.\d")
_MEASURED = re.compile(r"[-+]?\.?\d")
_INTERVAL = re.compile(r"\[[^\]]*\]")
_ENDS = ("", "_low", "_high")


@dataclass(frozen=True)
class Quoted:
    """A number as a page prints it.

    Attributes:
        text: digits as printed.
        value: the number; a percentage as a share.
        slack: half a unit of the last printed digit.
    """

    text: str
    value: float
    slack: float

    def among(self, numbers: Sequence[float]) -> bool:
        """Whether one of the numbers, rounded as printed, is this one."""
        return any(
            math.isclose(number, self.value, rel_tol=1e-9, abs_tol=self.slack * (1 + 1e-9))
            for number in numbers
        )


@dataclass(frozen=True)
class Label:
    """A word that says which row a number is from.

    Attributes:
        text: the word.
        column: name of the key column it stands under, empty for a word of any column.
    """

    text: str
    column: str = ""


@dataclass(frozen=True)
class SourceRow:
    """A row of a file, cells by column name; a line of text has the one column `text`."""

    cells: tuple[tuple[str, str], ...]

    @cached_property
    def texts(self) -> frozenset[str]:
        """The cells that begin with no number."""
        return frozenset(cell for _, cell in self.cells if not _measured(cell))

    @cached_property
    def keys(self) -> dict[str, float | None]:
        """The numbers of the key columns."""
        return {column: _plain(cell) for column, cell in self.cells if column in KEYS}

    def has(self, label: Label) -> bool:
        """Whether a cell is this text, or the label's column, else any key column, this number."""
        if label.text in self.texts:
            return True
        number = _plain(label.text)
        if number is None:
            return False
        if label.column in self.keys:
            return self.keys[label.column] == number
        return number in self.keys.values()

    def fits(self, column: str, value: str) -> bool:
        """Whether the column has this value; a row without the column fits."""
        cell = dict(self.cells).get(column, value)
        number = _plain(value)
        return cell == value or (number is not None and _plain(cell) == number)

    def numbers(self, columns: frozenset[str]) -> tuple[float, ...]:
        """The numbers of the row; of these columns where there are some."""
        wanted = [(name, cell) for name, cell in self.cells if not columns or name in columns]
        return tuple(value for _, cell in wanted if _measured(cell) for value in _values(cell))


Rows = Sequence[SourceRow]


def wrong_numbers(block: Block) -> list[str]:
    """What of a block with a comment is not in the files that the comment names, as lines."""
    paths, conditions = _parsed(block.source or "")
    missing = [path for path in paths if not any(ROOT.glob(path))]
    if missing:
        return [f"{block}: there is no file {', '.join(missing)}"]
    files = [
        [row for row in source_rows(file) if all(row.fits(*pair) for pair in conditions)]
        for path in paths
        for file in sorted(ROOT.glob(path))
    ]
    known = {name for rows in files for row in rows for name, _ in row.cells}
    if not any(files) or not known.issuperset(column for column, _ in conditions):
        return [f"{block}: no row of {', '.join(paths)} fits the comment"]
    found = _wrong_in_table(block, files) if block.kind == "table" else _wrong_in_text(block, files)
    return [f"{block}: {line}, in {', '.join(paths)}" for line in found]


def has_decimals(block: Block) -> bool:
    """Whether a table quotes a number with decimals."""
    cells = [cell for row in block.rows()[1:] for cell in row]
    return any(_measured(cell) and _DECIMAL.search(cell) for cell in cells)


def _parsed(source: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The files and the conditions of a comment."""
    files, _, conditions = source.partition(" where ")
    pairs = [condition.partition("=") for condition in conditions.split()]
    return files.split(), [(column, value) for column, _, value in pairs]


def _wrong_in_text(block: Block, files: Sequence[Rows]) -> Iterator[str]:
    cells = [cell for rows in files for row in rows for _, cell in row.cells]
    everything = [value for cell in cells for value in _values(cell)]
    for quoted in _quoted(block.prose):
        if "." in quoted.text and not quoted.among(everything):
            yield f"{quoted.text} is not there"


def _wrong_in_table(block: Block, files: Sequence[Rows]) -> Iterator[str]:
    heading, *lines = block.rows()
    for cells in lines:
        pairs = list(zip(heading, cells, strict=True))
        for column, cell in pairs:
            quotation = _measured(cell) and _name(column) not in KEYS
            if quotation and not any(_is_in(rows, pairs, column, cell) for rows in files):
                yield f"'{cell}' under '{column}' is not in a row for {' | '.join(cells)}"


def _is_in(rows: Rows, pairs: Sequence[tuple[str, str]], column: str, cell: str) -> bool:
    """Whether a file has the numbers of a cell in one of the rows that the cell is about."""
    about = [*(_label(heading, text, rows) for heading, text in pairs), _words(column, rows)]
    labels = [label for group in about for label in group]
    if not labels and len(rows) > 1:
        return False
    wanted = frozenset(f"{_name(column)}{end}" for end in _ENDS)
    columns = wanted & {name for row in rows for name, _ in row.cells}
    chosen = (row for row in rows if all(row.has(label) for label in labels))
    return any(_all_in(cell, row.numbers(columns)) for row in chosen)


def _label(heading: str, cell: str, rows: Rows) -> list[Label]:
    """What a cell says about which rows it is about, as far as the file knows it."""
    if not _measured(cell):
        return _words(cell, rows)
    key = Label(cell, _name(heading))
    return [key] if key.column in KEYS and any(row.has(key) for row in rows) else []


def _words(text: str, rows: Rows) -> list[Label]:
    """The text if the file has it, else those of its words and intervals that the file has."""
    text = text.replace("`", "").replace("*", "").strip()
    words = [word.strip(",;:()") for word in text.split()]
    if any(row.has(Label(text)) for row in rows):
        return [Label(text)]
    parts = [Label(word) for word in (*words, *_INTERVAL.findall(text)) if word]
    return [part for part in parts if any(row.has(part) for row in rows)]


def _all_in(cell: str, numbers: Sequence[float]) -> bool:
    return all(quoted.among(numbers) for quoted in _quoted(cell))


def _quoted(text: str) -> Iterator[Quoted]:
    for digits, percent in _NUMBER.findall(text):
        mantissa, _, exponent = digits.partition("e")
        decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
        share = 0.01 if percent else 1.0
        yield Quoted(digits, float(digits) * share, 0.5 * 10.0**-decimals * share)


def _values(text: str) -> list[float]:
    return [quoted.value for quoted in _quoted(text)]


def _measured(cell: str) -> bool:
    return bool(_MEASURED.match(cell))


def _plain(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _name(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", heading.lower()).strip("_")


@cache
def source_rows(path: Path) -> tuple[SourceRow, ...]:
    """The rows of a CSV file, or of the tables and lines of a Markdown file."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(SourceRow(tuple(row.items())) for row in csv.DictReader(file))
    rows: list[SourceRow] = []
    for block in blocks(path):
        if block.kind != "table":
            rows.append(SourceRow((("text", " ".join(block.lines)),)))
            continue
        heading, *lines = block.rows()
        names = [_name(column) for column in heading]
        rows += [SourceRow(tuple(zip(names, line, strict=True))) for line in lines]
    return tuple(rows)
