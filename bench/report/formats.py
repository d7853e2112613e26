"""Formats: numbers, intervals and verdicts as tables and figures print them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pandas as pd

from bench.report.columns import with_interval

LEVEL_MARKS = {"ok": "", "suspect": " ?", "invalid": " !"}
"""Mark behind a number, by the level of its verdict."""

MARKS = "?: suspect, !: invalid, reasons in accuracy.md"
"""Note under a table that shows marks."""


HALF_WIDTH = "±: half of the 95 % interval"
"""Note under a table whose numbers show half of their interval."""


def three_digits(value: float) -> str:
    """A number with three significant digits, `inf` for infinity, empty for NaN."""
    if pd.isna(value) or value == float("inf"):
        return "" if pd.isna(value) else "inf"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def two_decimals(value: float) -> str:
    """A share with two decimals, a half rounded up, as people round what three decimals show."""
    return str(Decimal(f"{value:.9g}").quantize(Decimal("0.01"), ROUND_HALF_UP))


def formatted(values: pd.Series[Any], form: str) -> list[str]:
    """Numbers as text in a format such as `{:.3f}`; empty for a missing number."""
    return ["" if pd.isna(value) else form.format(value) for value in values]


def interval_texts(frame: pd.DataFrame, name: str) -> list[str]:
    """A share and its interval as text, row by row; empty for a missing number."""
    columns = (frame[column] for column in with_interval(name))
    rows: Iterator[tuple[Any, ...]] = zip(*columns, strict=True)

    return [
        "" if pd.isna(value) else f"{value:.3f} [{low:.3f}, {high:.3f}]"
        for value, low, high in rows
    ]


def half_width(frame: pd.DataFrame, name: str, form: str, half_form: str) -> list[str]:
    """A number and half of its interval as text, such as `0.954 ±0.016`; empty where missing.

    Args:
        frame: frame with the columns of `bench.report.columns.with_interval`.
        name: column of the number.
        form: format of the number.
        half_form: format of half of the interval.
    """
    columns = (frame[column] for column in with_interval(name))
    rows: Iterator[tuple[Any, ...]] = zip(*columns, strict=True)

    return [
        "" if pd.isna(value) else f"{form.format(value)} ±{half_form.format((high - low) / 2)}"
        for value, low, high in rows
    ]


def marked(text: str, level: object) -> str:
    """A number as text with the mark of its verdict's level; empty for a missing number."""
    return text + LEVEL_MARKS.get(str(level), "") if text else ""


def abbreviated(names: Sequence[str], most: int = 6) -> str:
    """The first names, separated by semicolons, and the number of further names."""
    rest = len(names) - most

    return "; ".join(names[:most]) + (f"; and {rest} more" if rest > 0 else "")
