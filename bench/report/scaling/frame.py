"""The frame of scaling: cells of one trained network that differ in other parameters.

For example, cells of Defense-GAN that differ in restarts and steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.metrics import clean_accuracy, robust_accuracy
from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.verdict import Verdict
from bench.records.pipeline import Pipeline
from bench.report.columns import interval_columns, with_interval
from bench.report.latency.frame import eager_float32

_GROUP_LABELS = ("dataset", "classifier", "attack", "eps", "threat", "seed", "defense_name")
SCALING_LABELS = (*_GROUP_LABELS, "defense")
_TIMES = ("batch_size", "p25_ms", "p50_ms", "p75_ms")
_NUMBERS = (
    *with_interval("clean_accuracy"),
    *with_interval("robust_accuracy"),
    "verdict",
    *_TIMES,
    *(f"largest_{name}" for name in _TIMES),
)

Group = tuple[Any, ...]
Parameters = Mapping[str, Any]


def scaling_frame(
    cells: Sequence[EvaluatedCell], verdicts: Mapping[str, Verdict], latency: pd.DataFrame
) -> pd.DataFrame:
    """One row per cell of a trained defense that the run holds at several values of parameters.

    Cells are grouped by the defense's name, its trained network (by digest) and all labels but the
    defense. `varied` names the parameters that differ within a group of some
    defense, separated by commas; each has a column. Latency is that of the pipeline in eager
    float32 at the smallest batch of the run, and (`largest_`) at the largest one.

    Args:
        cells: ok cells of the run.
        verdicts: verdict of each cell, by key.
        latency: frame of `bench.report.latency.frame.latency_frame`.
    """
    groups = _groups(cells)
    varied: dict[str, dict[str, None]] = {}
    for group in groups:
        names = dict.fromkeys(_differing([_parameters(cell) for cell in group]))
        varied.setdefault(group[0].record.defense_name, {}).update(names)

    times = _latency(latency)
    rows = [
        {
            **_row(cell, tuple(varied[cell.record.defense_name]), times),
            "verdict": verdicts[cell.record.key].level,
        }
        for group in groups
        if _differing([_parameters(cell) for cell in group])
        for cell in group
    ]
    columns = dict.fromkeys(column for names in varied.values() for column in map(_column, names))

    return pd.DataFrame(
        rows, columns=[*SCALING_LABELS, "network", "fixed", "varied", *columns, *_NUMBERS]
    )


def varied_columns(rows: pd.DataFrame) -> list[str]:
    """The columns of the parameters that vary in these rows, all of one defense."""
    return [_column(name) for name in str(rows["varied"].iloc[0]).split(",")]


def _groups(cells: Sequence[EvaluatedCell]) -> list[list[EvaluatedCell]]:
    """Cells that share the trained network of their defense and all labels but the defense."""
    groups: dict[Group, list[EvaluatedCell]] = {}
    for cell in cells:
        digest = cell.record.networks.get("defense")
        if digest is not None:
            labels = _labels(cell)
            key = (*(labels[name] for name in _GROUP_LABELS), digest)
            groups.setdefault(key, []).append(cell)

    return list(groups.values())


def _row(
    cell: EvaluatedCell, varied: tuple[str, ...], times: Mapping[Pipeline, Mapping[str, Any]]
) -> dict[str, Any]:
    parameters = _parameters(cell)
    fixed = ":".join(f"{name}={value}" for name, value in parameters.items() if name not in varied)

    return {
        **_labels(cell),
        "network": cell.record.networks["defense"][:12],
        "fixed": fixed,
        "varied": ",".join(varied),
        **{_column(name): _number_or_text(parameters.get(name)) for name in varied},
        **interval_columns("clean_accuracy", clean_accuracy(cell.outcome)),
        **interval_columns("robust_accuracy", robust_accuracy(cell.outcome)),
        **times.get(cell.pipeline.without_seed, {}),
    }


def _labels(cell: EvaluatedCell) -> dict[str, Any]:
    return {**cell.record.labels, "defense_name": cell.record.defense_name}


def _parameters(cell: EvaluatedCell) -> Parameters:
    parameters: Parameters = cell.record.parameters.get("defense", {})
    return parameters


def _differing(several: Sequence[Parameters]) -> list[str]:
    """The names of the parameters that do not have the same value everywhere."""
    names = dict.fromkeys(name for parameters in several for name in parameters)
    first = several[0]

    return [
        name
        for name in names
        if any(parameters.get(name) != first.get(name) for parameters in several)
    ]


def _column(parameter: str) -> str:
    """The column of a parameter; a name that another column has gets `defense` in front."""
    taken = {*SCALING_LABELS, *_NUMBERS, "network", "fixed", "varied"}
    return f"defense {parameter}" if parameter in taken else parameter


def _number_or_text(value: object) -> object:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _latency(latency: pd.DataFrame) -> dict[Pipeline, dict[str, Any]]:
    """Quartiles of each pipeline at the smallest batch, and at the largest where that differs."""
    rows = eager_float32(latency)
    rows = rows[(rows["target"] == "pipeline") & (rows["status"] == "ok")]
    smallest = latency["batch_size"].min()
    largest = latency["batch_size"].max()
    prefixes = {smallest: ""} if largest == smallest else {smallest: "", largest: "largest_"}

    times: dict[Pipeline, dict[str, Any]] = {}
    for size, prefix in prefixes.items():
        for row in rows[rows["batch_size"] == size].to_dict("records"):
            numbers = {f"{prefix}{name}": row[name] for name in _TIMES}
            times.setdefault(Pipeline.of(row), {}).update(numbers)

    return times
