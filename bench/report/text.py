"""Numbers and names as tables and plots write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd


def three_digits(value: float) -> str:
    """A number for people, `inf` for infinity, nothing for none."""
    if pd.isna(value) or value == float("inf"):
        return "" if pd.isna(value) else "inf"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def some(names: Sequence[str], most: int = 6) -> str:
    """The first names, which may hold commas, and how many more there are."""
    rest = len(names) - most
    return "; ".join(names[:most]) + (f"; and {rest} more" if rest > 0 else "")


def intervals(frame: pd.DataFrame, name: str) -> list[str]:
    """A share and its interval as text, row by row; nothing where there is none."""
    columns = (frame[column] for column in (name, f"{name}_low", f"{name}_high"))
    rows: Iterator[tuple[Any, ...]] = zip(*columns, strict=True)
    return [
        "" if pd.isna(value) else f"{value:.3f} [{low:.3f}, {high:.3f}]"
        for value, low, high in rows
    ]
