"""Marks: the reasons behind the doubtful numbers of a table, which the page shows beside them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import pandas as pd

from bench.report.report import Report
from bench.report.writers import NamedTable

Reasons = Mapping[tuple[int, str], str]
"""Reasons by number of the row and heading of the column."""

_CELL = ["dataset", "classifier", "attack", "eps", "seed", "defense", "threat"]
_BUDGETED = ["dataset", "classifier", "norm", "eps", "seed", "defense"]
"""Labels of a defense under a budget."""

_FEWER_ATTACKS = "the defense faced fewer attacks than others"


def reasons_of(report: Report, table: NamedTable) -> Reasons:
    """The reasons of the marks in a table; empty where it has none."""
    reasons = _REASONS.get(table.name)

    return {} if reasons is None else reasons(report, table.frame)


def _worst_case(report: Report, table: pd.DataFrame) -> Reasons:
    """What a worst case lacks, and why the gray-box accuracy beside it is doubtful."""
    by_cell = reasons_by_cell(report)
    found: dict[tuple[int, str], str] = {}

    for index, row in enumerate(_rows_of(table, report.worst_case)):
        if row["note"]:
            found[index, "worst-case accuracy"] = str(row["note"])
        doubts = (row["mark"] and row["note"], row["missing_attacks"] > 0 and _FEWER_ATTACKS)
        if any(doubts):
            found[index, "rank"] = "; ".join(filter(None, doubts))
        labels = {**row, "attack": row["graybox_attack"], "threat": "graybox"}
        if row["graybox_verdict"] not in ("", "ok"):
            cell = by_cell.get(tuple(labels[name] for name in _CELL), "")
            found[index, "gray-box accuracy"] = cell

    return found


def _decisions(report: Report, table: pd.DataFrame) -> Reasons:
    """What the worst case lacks that a decision rests on."""
    rows = enumerate(_rows_of(table, report.decisions))

    return {(index, "rests on"): str(row["note"]) for index, row in rows if row["mark"]}


def _rows_of(table: pd.DataFrame, frame: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """The row of the frame that each row of a table shows: the table has an order of its own."""
    labels = [name for name in _BUDGETED if name in table]

    return table[labels].merge(frame, on=labels, how="left").to_dict("records")


def _threats(report: Report, table: pd.DataFrame) -> Reasons:
    """The reasons of the cell in each column of a threat model."""
    by_cell = reasons_by_cell(report)
    seeds: dict[Hashable, Any] = {} if "seed" in table else {"seed": report.results["seed"].iloc[0]}
    rows: list[dict[Hashable, Any]] = table.to_dict("records")
    threats = [name for name in table.columns if name in set(report.results["threat"])]

    found: dict[tuple[int, str], str] = {}
    for index, row in enumerate(rows):
        for threat in threats:
            labels = {**seeds, **row, "threat": threat}
            found[index, threat] = by_cell.get(tuple(labels[name] for name in _CELL), "")

    return found


def _accuracy(_: Report, table: pd.DataFrame) -> Reasons:
    """The reasons of each row's verdict."""
    return {(index, "verdict"): str(text) for index, text in enumerate(table["reasons"])}


_REASONS: Mapping[str, Callable[[Report, pd.DataFrame], Reasons]] = {
    "decisions": _decisions,
    "worst_case": _worst_case,
    "threats": _threats,
    "accuracy": _accuracy,
}
"""Functions that find the reasons, by name of the table."""


def reasons_by_cell(report: Report) -> dict[tuple[Any, ...], str]:
    """The reasons of every cell: those of its verdict, or of its status."""
    results = report.results
    ok = results["status"] == "ok"
    reasons = results["reasons"].where(ok, results["reason"])
    labels = results[_CELL].itertuples(index=False, name=None)

    return {label: str(text) for label, text in zip(labels, reasons, strict=True) if text}
