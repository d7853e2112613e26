"""The table of decisions: robustness gained beside latency added, the first of all tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from bench.report.columns import by_rank, seed_column, with_interval
from bench.report.decision.gains import (
    CLEAN_LOST,
    GRAYBOX_GAIN,
    REFERENCE,
    WORST_CASE_GAIN,
    compares,
)
from bench.report.formats import HALF_WIDTH, formatted, half_width, three_digits
from bench.report.naming import RunNames
from bench.report.report import Report
from bench.report.writers import NamedTable

_GAINS = (
    "gains and losses: percentage points against no defense, on the same images under the same "
    "budget, with 95 % intervals of the paired difference"
)
_TIMES = (
    "added ms, times none: median call of the whole pipeline at the smallest batch, against the "
    "bare classifier; dominated by: defenses at least as robust in the worst case and as fast, and "
    "better in one"
)
_DOUBT = "?: {notes}"

_TITLES = {
    WORST_CASE_GAIN: "worst-case gain",
    CLEAN_LOST: "clean lost",
    GRAYBOX_GAIN: "gray-box gain",
}
SPARE = (
    *("answer", "memory MiB", "dominated by", "worst-case accuracy", "gray-box gain"),
    *("rests on", "clean lost", "times none"),
)
"""Headings of the columns that a narrow terminal leaves out first."""


def decision_tables(report: Report) -> Iterator[NamedTable]:
    """What each defense gains and costs under each budget, by rank."""
    if report.decisions.empty:
        return

    frame = by_rank(report.decisions)
    yield NamedTable(
        "decisions",
        "Decision: robustness gained and latency added",
        decision_table(frame),
        "\n".join((_GAINS, _TIMES, *_doubts(frame))),
        printed=compares(frame),
        brief=brief_table(frame, report.names),
        brief_notes="\n".join((f"{_GAINS}; {HALF_WIDTH}", _TIMES, *_doubts(frame))),
        spare=SPARE,
    )


def decision_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per defense and budget, with whole intervals."""
    table = _labels(frame)
    for name in (WORST_CASE_GAIN, CLEAN_LOST):
        table[_TITLES[name]] = _intervals(frame, name)
        if name == WORST_CASE_GAIN:
            table["added ms"] = _intervals(frame, "added_ms", "{:.3g}")
            table["times none"] = frame["times_none"].map(three_digits)
    table[_TITLES[GRAYBOX_GAIN]] = _intervals(frame, GRAYBOX_GAIN)

    return _rest(table, frame)


def brief_table(frame: pd.DataFrame, names: RunNames) -> pd.DataFrame:
    """The same rows for the terminal: short names, half widths in place of intervals."""
    table = names.shown(_labels(frame))
    table["worst-case gain"] = _joined(_points(frame, WORST_CASE_GAIN), _marks(frame))
    table["added ms"] = frame["added_ms"].map(three_digits)
    table["times none"] = frame["times_none"].map(three_digits)
    table["clean lost"] = _points(frame, CLEAN_LOST)
    table["gray-box gain"] = _points(frame, GRAYBOX_GAIN)
    dominated = frame["dominated_by"].str.split(", ")
    shown = frame.assign(
        dominated_by=[
            ", ".join(names.defense[name] for name in listed if name) for listed in dominated
        ]
    )

    return _rest(table, shown).drop(columns="answer")


def _labels(frame: pd.DataFrame) -> pd.DataFrame:
    labels = ["dataset", "classifier", "norm", "eps", *seed_column(frame)]

    return frame[[*labels, "rank", "defense"]].copy()


def _rest(table: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns that no reader compares first."""
    table["rests on"] = _joined(frame["basis"], _marks(frame))
    table["worst-case accuracy"] = formatted(frame["worst_case_accuracy"], "{:.3f}")
    table["memory MiB"] = formatted(frame["memory_mib"], "{:.1f}")
    table["dominated by"] = frame["dominated_by"]
    table["answer"] = frame["answer"]

    return table


def _points(frame: pd.DataFrame, name: str) -> list[str]:
    """Points with half of their interval, such as `+24.0 ±3.8`; empty for a missing number.

    The classifier without a defense is the zero of all of them.
    """
    values = half_width(frame, name, "{:+z.1f}", "{:.1f}")

    return [
        "" if defense == REFERENCE else text
        for defense, text in zip(frame["defense"], values, strict=True)
    ]


def _intervals(frame: pd.DataFrame, name: str, form: str = "{:z.1f}") -> list[str]:
    """Numbers with the ends of their interval; empty for a missing number."""
    rows = zip(*(formatted(frame[column], form) for column in with_interval(name)), strict=True)

    return [f"{value} [{low}, {high}]" if value else "" for value, low, high in rows]


def _marks(frame: pd.DataFrame) -> list[str]:
    """The mark of each doubtful worst case, behind a space."""
    return [f" {mark}" if mark else "" for mark in frame["mark"]]


def _joined(texts: Iterable[str], marks: Iterable[str]) -> list[str]:
    return [f"{text}{mark}" if text else "" for text, mark in zip(texts, marks, strict=True)]


def _doubts(frame: pd.DataFrame) -> Iterator[str]:
    """The meaning of the mark, where a row has it."""
    notes = dict.fromkeys(frame["note"][frame["mark"] != ""])
    if notes:
        yield _DOUBT.format(notes="; ".join(notes))
