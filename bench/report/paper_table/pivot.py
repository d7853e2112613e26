"""The pivot: one number of a run for each row and column of a table, and which are the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.errors import RequestError, unknown
from bench.report.paper_table.values import LABELS, VALUES, Value
from bench.report.report import Report

_REFERENCE = "none"


@dataclass(frozen=True)
class TableRequest:
    """What a table shows.

    Attributes:
        rows: labels of the rows.
        columns: labels of the columns, the group first.
        value: name of the value, see `bench.report.paper_table.values.VALUES`.
        where: values of labels that are chosen, as text.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    value: str
    where: Mapping[str, str]

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            RequestError: a label or the value is unknown, or a label is named twice.
        """
        if self.value not in VALUES:
            raise unknown("value", self.value, VALUES)
        used = (*self.rows, *self.columns)
        known = VALUES[self.value].labels
        for label in (*used, *self.where):
            if label not in LABELS:
                raise unknown("label", label, LABELS)
            if label not in known:
                raise RequestError(
                    f"the value {self.value} has no label {label} (it has: {', '.join(known)})"
                )
        for label in used:
            if used.count(label) > 1:
                raise RequestError(f"label {label} is named twice in --rows and --columns")
        if not self.rows:
            raise RequestError("--rows is empty: name at least one label, such as defense")


@dataclass(frozen=True, eq=False)
class Pivot:
    """The numbers of a table.

    Attributes:
        request: what the table shows.
        numbers: one row per number, with the labels of rows and columns, `value`, `low`, `high`,
            `mark`, `n` and `best`.
        constant: labels that all numbers share, with their value.
        seeds: number of seeds over which each number is a mean.
    """

    request: TableRequest
    numbers: pd.DataFrame
    constant: Mapping[str, str]
    seeds: int

    @property
    def value(self) -> Value:
        """The value that the table shows."""
        return VALUES[self.request.value]

    @classmethod
    def of(cls, report: Report, request: TableRequest) -> Pivot:
        """The numbers of a run.

        Raises:
            RequestError: the run has no such number, or a label that tells its numbers apart is
                neither in the table nor chosen.
        """
        value = VALUES[request.value]
        used = (*request.rows, *request.columns)
        frame = value.rows(report, (*used, *request.where))
        frame = frame[[*(label for label in value.labels if label in frame), *_numbers(frame)]]
        frame = _chosen(frame, request.where, report)
        if frame.empty:
            raise RequestError(f"the run has no {request.value} value")

        labels = [label for label in LABELS if label in frame]
        _check_told_apart(frame, [*used, "seed"], labels, value)
        seeds = int(frame["seed"].nunique()) if "seed" in labels and "seed" not in used else 1
        means = _means(_without_repeats(frame, used, value), list(used))
        rest = [label for label in labels if label not in used and frame[label].nunique() == 1]

        return cls(
            request,
            means.assign(best=_best(means, used, value, seeds) if "defense" in used else False),
            {label: _text(frame[label].iloc[0]) for label in rest},
            seeds,
        )


def _numbers(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame.columns if name not in LABELS]


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _chosen(frame: pd.DataFrame, where: Mapping[str, str], report: Report) -> pd.DataFrame:
    """The rows with the chosen labels, each given as a spec or as its short name.

    Raises:
        RequestError: no number has such a label.
    """
    for label, wanted in where.items():
        texts = frame[label].map(_text)
        short = texts.map(report.names[label].__getitem__)
        is_chosen = (texts == wanted) | (short == wanted)
        if not is_chosen.any():
            raise unknown(label, wanted, dict.fromkeys(texts))
        frame = frame[is_chosen]

    return frame


def _check_told_apart(
    frame: pd.DataFrame, used: Sequence[str], labels: Sequence[str], value: Value
) -> None:
    """Check that numbers which share a place of the table are one and the same.

    Raises:
        RequestError: they are not.
    """
    places = frame.groupby([label for label in used if label in labels], dropna=False)
    for label in labels:
        if label not in (*used, *value.indifferent) and (places[label].nunique() > 1).any():
            values = ", ".join(_text(each) for each in dict.fromkeys(frame[label]))
            raise RequestError(
                f"{label} has several values ({values}): name it in --rows or --columns, or choose "
                f"one with --where {label}=VALUE"
            )


def _without_repeats(frame: pd.DataFrame, used: Sequence[str], value: Value) -> pd.DataFrame:
    """The numbers, each once: a seed under many attacks weighs no more than one under few."""
    repeated = [label for label in value.indifferent if label not in used]
    labels = [label for label in LABELS if label in frame and label not in repeated]

    return frame.drop_duplicates(labels) if repeated else frame


def _means(frame: pd.DataFrame, used: list[str]) -> pd.DataFrame:
    """One row per place of the table: means over seeds, the worst mark, common ties."""
    rows: list[dict[str, Any]] = []
    for labels, group in frame.groupby(used, sort=False, dropna=False):
        numbers = {name: group[name].mean() for name in ("value", "low", "high")}
        rows.append(
            {
                **dict(zip(used, labels, strict=True)),
                **numbers,
                "mark": max(group["mark"].str.strip(), key=("", "?", "!").index),
                "ties": frozenset.intersection(*group["ties"]),
                "n": group["n"].iloc[0],
            }
        )

    return pd.DataFrame(rows)


def _best(means: pd.DataFrame, used: Sequence[str], value: Value, seeds: int) -> list[bool]:
    """Whether each number is the best of its defenses, or not told apart from it.

    Where a marked number would be the best, none is. The latency of `none` does not count, since
    it adds nothing.
    """
    rows: list[dict[Any, Any]] = means.to_dict("records")
    rest = [label for label in used if label != "defense"]
    groups: dict[tuple[Any, ...], list[dict[Any, Any]]] = {}
    for row in rows:
        if row["defense"] != _REFERENCE or not value.lower_is_better:
            groups.setdefault(tuple(row[label] for label in rest), []).append(row)

    best = [row for group in groups.values() for row in _best_of(group, value, seeds)]
    chosen = {id(row) for row in best}
    return [id(row) in chosen for row in rows]


def _best_of(group: Sequence[dict[Any, Any]], value: Value, seeds: int) -> list[dict[Any, Any]]:
    """The rows of the best number among defenses, and of those that a test does not tell apart."""
    choose = min if value.lower_is_better else max
    leader = choose(group, key=lambda row: row["value"])
    if leader["mark"]:
        return []

    tied = leader["ties"] if seeds == 1 else frozenset()
    unmarked = [row for row in group if not row["mark"]]
    return [row for row in unmarked if row["value"] == leader["value"] or row["defense"] in tied]
