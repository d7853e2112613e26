"""One trained network at several values of what it was not trained with, such as Defense-GAN's restarts and steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.metrics import cell_metrics
from bench.analysis.outcomes import EvaluatedCell
from bench.report.accuracy import interval_columns
from bench.report.latency import plain
from bench.report.text import intervals, three_digits

SCALING_LABELS = ("dataset", "classifier", "attack", "eps", "threat", "seed", "name", "defense")
_WHERE = tuple(name for name in SCALING_LABELS if name != "defense")
_NUMBERS = (
    *(f"{name}_accuracy{end}" for name in ("clean", "robust") for end in ("", "_low", "_high")),
    *("batch_size", "p25_ms", "p50_ms", "p75_ms"),
    *("largest_batch_size", "largest_p25_ms", "largest_p50_ms", "largest_p75_ms"),
)

Group = tuple[Any, ...]
Parameters = Mapping[str, Any]


def scaling_frame(cells: Sequence[EvaluatedCell], latency: pd.DataFrame) -> pd.DataFrame:
    """One row per ok cell of a trained defense that the run holds with several values of other
    parameters.

    Cells belong together that have the same defense by name, the same trained network (its digest)
    and everything else in common. `varied` names the parameters that differ among those of a
    defense, comma-separated; each has a column. Latency is of the pipeline in eager float32 at the
    run's smallest batch, and (`largest_`) at its largest where that is another.

    Args:
        cells: of the run.
        latency: see `bench.report.latency.latency_frame`.
    """
    groups: dict[Group, list[EvaluatedCell]] = {}
    for cell in cells:
        digest = cell.record.networks.get("defense")
        if digest is not None:
            groups.setdefault((*_labels(cell)[: len(_WHERE)], digest), []).append(cell)
    varied: dict[str, dict[str, None]] = {}
    for group in groups.values():
        varied.setdefault(_name(group[0]), {}).update(
            dict.fromkeys(_differing([_parameters(cell) for cell in group]))
        )
    times = _latency(latency)
    rows = [
        _row(cell, tuple(varied[_name(cell)]), times)
        for group in groups.values()
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


def scaling_tables(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A table for each defense: the varied parameters, both accuracies with their intervals, median latencies."""
    return {str(name): _table(rows) for name, rows in frame.groupby("name", sort=False)}


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    varied = varied_columns(rows)
    seed = ["seed"] if rows["seed"].nunique() > 1 else []
    where = ["dataset", "classifier", "attack", "eps", "threat", *seed]
    several = ["network"] if rows["fixed"].nunique() > 1 else []  # trained in several ways
    rows = rows.sort_values([*where, *several, *varied], kind="stable").reset_index(drop=True)
    table = rows[[*where, *several]].copy()
    for name in varied:
        table[name] = rows[name].map(
            lambda value: value if isinstance(value, str) else f"{value:g}"
        )
    for title, column in (("clean", "clean_accuracy"), ("attacked", "robust_accuracy")):
        table[title] = intervals(rows, column)
    for start in ("", "largest_"):
        for size in rows[f"{start}batch_size"].dropna().unique():
            table[f"p50 ms, batch {size:.0f}"] = rows[f"{start}p50_ms"].map(three_digits)
    return table


def _row(
    cell: EvaluatedCell, varied: tuple[str, ...], times: Mapping[Group, Mapping[str, Any]]
) -> dict[str, Any]:
    labels = dict(zip(SCALING_LABELS, _labels(cell), strict=True))
    parameters, metrics = _parameters(cell), cell_metrics(cell.outcome)
    fixed = ":".join(f"{name}={value}" for name, value in parameters.items() if name not in varied)
    return {
        **labels,
        "network": cell.record.networks["defense"][:12],
        "fixed": fixed,
        "varied": ",".join(varied),
        **{_column(name): _value(parameters.get(name)) for name in varied},
        **interval_columns("clean_accuracy", metrics.clean_accuracy),
        **interval_columns("robust_accuracy", metrics.robust_accuracy),
        **times.get((labels["dataset"], labels["classifier"], labels["defense"]), {}),
    }


def _labels(cell: EvaluatedCell) -> Group:
    labels = {**cell.record.labels, "name": _name(cell)}
    return tuple(labels[name] for name in SCALING_LABELS)


def _name(cell: EvaluatedCell) -> str:
    return str(cell.record.labels["defense"]).partition(":")[0]


def _parameters(cell: EvaluatedCell) -> Parameters:
    found: Parameters = cell.record.parameters.get("defense", {})
    return found


def _differing(found: Sequence[Parameters]) -> list[str]:
    """The parameters that do not have the same value everywhere."""
    names = dict.fromkeys(name for parameters in found for name in parameters)
    return [name for name in names if any(each.get(name) != found[0].get(name) for each in found)]


def _column(parameter: str) -> str:
    """Its column; one that is called like another column of the frame says whose it is."""
    taken = {*SCALING_LABELS, *_NUMBERS, "network", "fixed", "varied"}
    return f"defense {parameter}" if parameter in taken else parameter


def _value(value: object) -> object:
    """A number as it is, anything else as text."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _latency(latency: pd.DataFrame) -> dict[Group, dict[str, Any]]:
    """Quartiles of the pipeline by dataset, classifier and defense, at the smallest and the largest batch."""
    ok = plain(latency)
    ok = ok[(ok["target"] == "pipeline") & (ok["status"] == "ok")]
    sizes = {"": latency["batch_size"].min(), "largest_": latency["batch_size"].max()}
    found: dict[Group, dict[str, Any]] = {}
    for start, size in sizes.items():
        if start and size == sizes[""]:
            continue
        for row in ok[ok["batch_size"] == size].to_dict("records"):
            key = (row["dataset"], row["classifier"], row["defense"])
            numbers = {
                f"{start}{name}": row[name] for name in ("batch_size", "p25_ms", "p50_ms", "p75_ms")
            }
            found.setdefault(key, {}).update(numbers)
    return found
