"""Checks of accuracies: cells, clean images and worst cases of two runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bench.analysis.statistics import ALPHA
from bench.records.cell import LABELS
from bench.report.columns import title_of
from bench.report.comparison import Comparison
from bench.report.formats import three_digits
from bench.report.gate.check import Check, Kind, Limits

_ROUNDING = 1e-9

_CLEAN = ("dataset", "classifier", "defense", "seed")
_WORST_CASE = ("dataset", "classifier", "defense", "norm", "eps", "seed")


def cell_checks(comparison: Comparison, limits: Limits) -> Iterator[Check]:
    """A check for each cell of the reference: is it there, ok, valid, and as robust?"""
    for labels in comparison.only_a:
        missing = {axis: labels[axis] for axis in LABELS}
        yield Check("cell", title_of(missing), failures=("missing",), labels=missing)

    for row in comparison.frame.to_dict("records"):
        if "ok" in (row["status_a"], row["status_b"]):
            yield _cell_check(row, limits)


def clean_checks(comparison: Comparison, limits: Limits) -> Iterator[Check]:
    """A check for each pipeline: is it as accurate on clean images?"""
    yield from _defense_checks("clean accuracy", comparison.clean, _CLEAN, limits)


def worst_case_checks(comparison: Comparison, limits: Limits) -> Iterator[Check]:
    """A check for each defense and budget: is its worst case as good?"""
    yield from _defense_checks("worst case", comparison.worst_cases, _WORST_CASE, limits)


def _cell_check(row: Mapping[Any, Any], limits: Limits) -> Check:
    labels = {axis: row[axis] for axis in LABELS}
    change = _change(row, "robust accuracy", "robust_accuracy")
    lost = _lost_accuracy(row, change, "robust_accuracy", limits)

    return Check(
        "cell",
        title_of(labels),
        change,
        (*_lost_cell(row), *lost),
        labels=labels,
        numbers=_numbers(row, "robust_accuracy"),
    )


def _defense_checks(
    kind: Kind, frame: pd.DataFrame, names: tuple[str, ...], limits: Limits
) -> Iterator[Check]:
    for row in frame.to_dict("records"):
        labels = {name: row[name] for name in names}
        change = _change(row, kind, "accuracy")
        lost = _lost_accuracy(row, change, "accuracy", limits)
        numbers = _numbers(row, "accuracy")
        yield Check(kind, title_of(labels), change, tuple(lost), labels=labels, numbers=numbers)


def _lost_cell(row: Mapping[Any, Any]) -> Iterator[str]:
    if row["status_a"] == "ok" and row["status_b"] != "ok":
        yield f"{row['status_b']}: {row['reason_b']}"
    if row["verdict_b"] == "invalid" and row["verdict_a"] != "invalid":
        yield "the verdict is invalid"


def _lost_accuracy(row: Mapping[Any, Any], change: str, name: str, limits: Limits) -> Iterator[str]:
    points = row[f"{name}_points"]

    if limits.points is not None and points < -limits.points - _ROUNDING:
        yield change
    if limits.points is None and points < 0 and row["p_holm"] < ALPHA:
        yield f"{change}, p = {three_digits(row['p_holm'])}"


def _change(row: Mapping[Any, Any], title: str, name: str) -> str:
    """Both accuracies in words; empty where one is missing."""
    points = row[f"{name}_points"]
    if pd.isna(points):
        return ""

    return f"{title} from {row[f'{name}_a']:.3f} to {row[f'{name}_b']:.3f} ({points:+z.1f} points)"


def _numbers(row: Mapping[Any, Any], name: str) -> dict[str, float | None]:
    columns = {"accuracy_a": f"{name}_a", "accuracy_b": f"{name}_b", "p_holm": "p_holm"}

    return {key: None if pd.isna(row[column]) else row[column] for key, column in columns.items()}
