"""Data frames derived from a run's raw files: one row per cell, and statistics over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.checks import Verdict
from bench.analysis.metrics import Accuracy, cell_metrics, minimum_distance_median
from bench.analysis.outcomes import EvaluatedCell
from bench.records.cell import CellRecord
from bench.report.latency import plain, timed

CELL_LABELS = ("dataset", "classifier", "defense", "attack", "eps", "threat", "seed")
_ACCURACIES = (
    "clean_accuracy",
    "robust_accuracy",
    "undefended_clean_accuracy",
    "undefended_robust_accuracy",
)
RESULT_COLUMNS = (
    *CELL_LABELS,
    "norm",
    "eot",
    "n",
    *(column for name in _ACCURACIES for column in (name, f"{name}_low", f"{name}_high")),
    "robust_accuracy_worst_draw",
    "mean_linf",
    "mean_l2",
    "mean_l1",
    "minimum_distance_median",
    "latency_p50_ms",
    "latency_p95_ms",
    "trained_for",
    "verdict",
    "status",
    "reason",
)
NO_NORM = "no norm"
"""How tables name the norm of a budget that bounds none."""


def results_frame(
    results: Iterable[CellRecord],
    cells: Sequence[EvaluatedCell],
    verdicts: Mapping[str, Verdict],
    latency: pd.DataFrame,
) -> pd.DataFrame:
    """One row per recorded cell; a failed or skipped one has its reason and no numbers.

    `robust_accuracy` is the mean over draws, `robust_accuracy_worst_draw` the share right in every
    draw. `latency_p50_ms` and `latency_p95_ms` are of the whole pipeline at the smallest timed
    batch, in eager float32. `trained_for` is the attack and budget that the defense was trained
    for, see `trained_for`.

    Args:
        results: all records.
        cells: those that are ok.
        verdicts: of each of them, by key.
        latency: see `bench.report.latency.latency_frame`.
    """
    times, outcomes = _pipeline_latency(latency), {cell.record.key: cell for cell in cells}
    rows = []
    for result in results:
        row = {**result.labels, "n": result.n, "status": result.status, "reason": result.reason}
        row.update(
            norm=norm_name(result), eot=result.properties.eot, trained_for=trained_for(result)
        )
        row.update(
            times.get(
                tuple(str(result.labels[name]) for name in ("dataset", "classifier", "defense")), {}
            )
        )
        if result.key in outcomes:
            row.update(_numbers(outcomes[result.key]), verdict=str(verdicts[result.key]))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(RESULT_COLUMNS))


def seeds_frame(results: pd.DataFrame) -> pd.DataFrame:
    """One row per cell without its seed: mean, standard deviation, extremes over seeds.

    Empty for a single seed.
    """
    labels = [name for name in CELL_LABELS if name != "seed"]
    columns = {"seeds": ("seed", "nunique")}
    for name in ("clean_accuracy", "robust_accuracy"):
        columns.update({f"{name}_{how}": (name, how) for how in ("mean", "std", "min", "max")})
    ok = results[results["status"] == "ok"]
    if ok["seed"].nunique() < 2:
        return pd.DataFrame(columns=[*labels, *columns])
    return ok.groupby(labels, sort=False).agg(**columns).reset_index()


def norm_name(result: CellRecord) -> str:
    """The norm that the cell's epsilon bounds, as tables name it."""
    return result.properties.norm or NO_NORM


def trained_for(result: CellRecord) -> str | None:
    """The attack and budget a defense was trained for, its parameters `attack` and `eps`.

    None where it names none.
    """
    parameters = result.parameters.get("defense", {})
    attack, eps = parameters.get("attack"), parameters.get("eps")
    if not attack:
        return None
    names = (
        ",".join(map(str, attack))
        if isinstance(attack, Iterable) and not isinstance(attack, str)
        else str(attack)
    )
    return names if eps is None else f"{names} @ {eps:g}"


def title_of(labels: Mapping[str, Any]) -> str:
    """A cell in one line."""
    return " ".join(
        f"{name} {value}" if name in ("eps", "seed") else str(value)
        for name, value in labels.items()
    )


def interval_columns(name: str, value: Accuracy | None) -> dict[str, float]:
    """A share and the ends of its interval as three columns, NaN where there is none."""
    ends = 3 * (math.nan,) if value is None else (value.value, value.low, value.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def _numbers(cell: EvaluatedCell) -> dict[str, Any]:
    outcome, metrics = cell.outcome, cell_metrics(cell.outcome)
    row: dict[str, Any] = {"robust_accuracy_worst_draw": metrics.robust_accuracy.worst}
    found = (
        metrics.clean_accuracy,
        metrics.robust_accuracy,
        metrics.undefended_clean_accuracy,
        metrics.undefended_robust_accuracy,
    )
    for name, value in zip(_ACCURACIES, found, strict=True):
        row.update(interval_columns(name, value))
    row.update(
        {f"mean_{norm}": float(outcome.distance(norm).mean()) for norm in ("linf", "l2", "l1")}
    )
    if outcome.minimum_distance is not None:
        row["minimum_distance_median"] = minimum_distance_median(
            outcome.minimum_distance, cell.clean_right_in_every_draw
        )
    return row


def _pipeline_latency(latency: pd.DataFrame) -> dict[tuple[str, ...], dict[str, float]]:
    """Median and 95th percentile of the pipeline at the smallest batch, by dataset, classifier and defense."""
    return {
        (str(row["dataset"]), str(row["classifier"]), str(row["defense"])): {
            "latency_p50_ms": row["p50_ms"],
            "latency_p95_ms": row["p95_ms"],
        }
        for row in timed(plain(latency), "pipeline").to_dict("records")
    }
