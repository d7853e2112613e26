"""Checks of timings: the latency of two runs as multiples of no defense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bench.report.comparison import Comparison
from bench.report.comparison.timings import TIMES_NONE
from bench.report.formats import three_digits
from bench.report.gate.check import Check, Limits
from bench.report.latency.frame import LATENCY_LABELS, call_title

_NUMBERS = (
    *("ms_a", "ms_b", "times_none_a", "times_none_b"),
    *("slowdown", "slowdown_low", "slowdown_high"),
)


def timing_checks(comparison: Comparison, limits: Limits) -> Iterator[Check]:
    """A check for each timed call of the reference: is it there, and as fast?

    A call fails as too slow if the whole interval of its slowdown is above the limit, and its time
    grew by more than a tenth of the bare classifier's. What cannot be compared fails too.
    """
    if limits.percent is None:
        return

    timed = comparison.timings[comparison.timings["status_a"] == "ok"]
    if limits.latency_required and timed.empty:
        yield Check("timing", "latency", failures=("the baseline has no timings to judge by",))
    for row in timed.to_dict("records"):
        yield _check(row, limits.percent)


def _check(row: Mapping[Any, Any], percent: float) -> Check:
    finding = _finding(row)
    doubts = [row["note"]] if row["note"] and row["basis"] else []
    if _is_over(row, "slowdown", percent) and not _is_over(row, "slowdown_low", percent):
        doubts.append("over the limit, but within the spread; time it in more rounds")

    return Check(
        "timing",
        f"{row['dataset']} {row['classifier']} {call_title(row)}",
        finding,
        tuple(_failures(row, finding, percent)),
        tuple(doubts),
        labels={name: row[name] for name in LATENCY_LABELS},
        numbers=_numbers(row),
    )


def _failures(row: Mapping[Any, Any], finding: str, percent: float) -> Iterator[str]:
    if not row["status_b"]:
        yield "missing"
    elif row["status_b"] != "ok":
        yield f"{row['status_b']}: {row['reason_b']}"
    elif not row["basis"]:
        yield f"cannot be judged, {row['note']}"
    elif _is_over(row, "slowdown_low", percent):
        yield finding


def _is_over(row: Mapping[Any, Any], name: str, percent: float) -> bool:
    """Whether a slowdown is over the limit, and not that of a time that hardly counts."""
    return bool(row["matters"] and row[name] > 1 + percent / 100)


def _finding(row: Mapping[Any, Any]) -> str:
    """Both times in words; empty where they cannot be compared."""
    if not row["basis"]:
        return ""

    low, value, high = (
        three_digits(row[name]) for name in ("slowdown_low", "slowdown", "slowdown_high")
    )
    times = " to ".join(f"{three_digits(row[f'ms_{end}'])} ms" for end in "ab")
    if row["basis"] != TIMES_NONE:
        return f"{value} [{low}, {high}] times as long ({times})"

    ratios = " to ".join(three_digits(row[f"times_none_{end}"]) for end in "ab")
    return f"{value} [{low}, {high}] times as long ({times}; {ratios} times none)"


def _numbers(row: Mapping[Any, Any]) -> dict[str, float | None]:
    return {name: None if pd.isna(row[name]) else row[name] for name in _NUMBERS}
