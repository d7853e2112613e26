"""The tables of a comparison, for people."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.records.cell import LABELS
from bench.report.comparison.cells import ACCURACIES
from bench.report.comparison.comparison import Comparison
from bench.report.comparison.timings import TIMES_NONE
from bench.report.formats import abbreviated, formatted, three_digits
from bench.report.latency.frame import LATENCY_LABELS, call_title
from bench.report.writers import NamedTable

_TIMING_NOTES = (
    "times none: multiple of the bare classifier's time in the same run; slowdown: ratio of B to "
    "A, in brackets between its quartiles"
)

_SPARE_OF_CELLS = (
    *("p", "clean accuracy A", "clean accuracy B", "clean accuracy, points"),
    *("p, Holm", "robust accuracy A"),
)
"""Headings that a narrow terminal leaves out first, and never the difference and its mark."""

_SPARE_OF_TIMINGS = ("ms A", "ms B", "times none A")


def comparison_tables(comparison: Comparison) -> Iterator[NamedTable]:
    """The tables of cells, of worst cases and of timings, without the empty ones."""
    cells = cells_table(comparison.frame)
    if not cells.empty:
        yield NamedTable("cells", "Cells", cells, spare=_SPARE_OF_CELLS)

    yield from summary_tables(comparison)


def summary_tables(comparison: Comparison) -> Iterator[NamedTable]:
    """The tables with few rows for each defense: worst cases and timings."""
    if not comparison.worst_cases.empty:
        table = worst_cases_table(comparison.worst_cases)
        yield NamedTable("worst_cases", "Worst cases", table)
    if not comparison.timings.empty:
        table = timings_table(comparison.timings)
        yield NamedTable(
            "timings", "Latency per call", table, _TIMING_NOTES, spare=_SPARE_OF_TIMINGS
        )


def timing_notes(frame: pd.DataFrame) -> Iterator[str]:
    """A line for each note on timings, with the calls that have it."""
    for note, rows in frame[frame["note"] != ""].groupby("note", sort=False):
        yield f"{note}: {abbreviated([call_title(row) for row in rows.to_dict('records')])}"


def cells_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, without those that both runs skipped."""
    frame = frame[(frame["status_a"] != "skipped") | (frame["status_b"] != "skipped")]
    table = frame[list(LABELS)].copy()

    for name in ACCURACIES:
        title = name.replace("_", " ")
        table[f"{title} A"] = formatted(frame[f"{name}_a"], "{:.3f}")
        table[f"{title} B"] = formatted(frame[f"{name}_b"], "{:.3f}")
        table[f"{title}, points"] = formatted(frame[f"{name}_points"], "{:+z.1f}")
    table["p"] = frame["p"].map(three_digits)
    table["p, Holm"] = frame["p_holm"].map(three_digits)
    table["mark"] = frame["mark"]

    return table


def worst_cases_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per defense and budget."""
    table = frame[["dataset", "classifier", "defense", "norm", "eps", "seed"]].copy()
    table["worst case A"] = formatted(frame["accuracy_a"], "{:.3f}")
    table["worst case B"] = formatted(frame["accuracy_b"], "{:.3f}")
    table["points"] = formatted(frame["accuracy_points"], "{:+z.1f}")
    table["p, Holm"] = frame["p_holm"].map(three_digits)
    table["mark"] = frame["mark"]

    return table


def timings_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per timed call; the unit of the slowdown stands behind it where it is not the ratio.

    A call that was timed in neither run is left out.
    """
    frame = frame[(frame["status_a"] == "ok") | (frame["status_b"] == "ok")]
    table = frame[list(LATENCY_LABELS)].rename(columns={"batch_size": "batch"})
    for end in ("a", "b"):
        table[f"ms {end.upper()}"] = frame[f"ms_{end}"].map(three_digits)
    for end in ("a", "b"):
        table[f"times none {end.upper()}"] = frame[f"times_none_{end}"].map(three_digits)
    table["slowdown"] = [_slowdown(*row) for row in _slowdowns(frame)]
    table["mark"] = frame["mark"]

    return table


def _slowdowns(frame: pd.DataFrame) -> Iterator[tuple[float, float, float, str]]:
    names = ("slowdown", "slowdown_low", "slowdown_high", "basis")

    return zip(*(frame[name] for name in names), strict=True)


def _slowdown(value: float, low: float, high: float, basis: str) -> str:
    if pd.isna(value):
        return ""

    text = f"{value:.2f} [{low:.2f}, {high:.2f}]"
    return text if basis == TIMES_NONE else f"{text} by {basis}"
