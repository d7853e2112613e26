"""Data frames derived from a run's raw files: one row per cell, one row per timing."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.checks import verdict
from bench.metrics import Accuracy, cell_metrics, latency_summary
from bench.runs import Result, RunFolder

CELL_LABELS = ("dataset", "classifier", "defense", "attack", "eps", "threat", "seed")
_ACCURACIES = ("clean_accuracy", "robust_accuracy", "undefended_clean_accuracy", "undefended_accuracy")
RESULT_COLUMNS = (
    *CELL_LABELS,
    "n",
    *(column for name in _ACCURACIES for column in (name, f"{name}_low", f"{name}_high")),
    "robust_accuracy_worst_draw",
    "mean_linf",
    "mean_l2",
    "latency_p50_ms",
    "latency_p95_ms",
    "verdict",
    "status",
    "reason",
)
LATENCY_LABELS = ("dataset", "classifier", "defense", "engine", "device", "target", "batch_size")


def results_frame(folder: RunFolder) -> pd.DataFrame:
    """One row per recorded cell; a failed one has its reason and no numbers.

    `latency_p50_ms` and `latency_p95_ms` are of the whole pipeline at the smallest timed batch.
    """
    latency = _pipeline_latency(latency_frame(folder))
    rows = [_row(folder, result, latency) for result in folder.results()]
    return pd.DataFrame(rows, columns=list(RESULT_COLUMNS))


def latency_frame(folder: RunFolder) -> pd.DataFrame:
    """One row per timing, in milliseconds per call."""
    rows = []
    for timing in folder.timings():
        summary = latency_summary(timing.seconds, timing.batch_size)
        rows.append(
            {
                **timing.labels,
                "engine": timing.engine,
                "device": timing.device,
                "target": timing.target,
                "batch_size": timing.batch_size,
                "calls": summary.calls,
                **{f"{name}_ms": getattr(summary, name) for name in ("p25", "p50", "p75", "p90", "p95", "p99")},
                "images_per_second": summary.images_per_second,
            }
        )
    columns = [*LATENCY_LABELS, "calls", *(f"{p}_ms" for p in ("p25", "p50", "p75", "p90", "p95", "p99"))]
    return pd.DataFrame(rows, columns=[*columns, "images_per_second"])


def _row(folder: RunFolder, result: Result, latency: dict[tuple[str, ...], dict[str, float]]) -> dict[str, Any]:
    row: dict[str, Any] = {**result.labels, "n": result.n, "status": result.status, "reason": result.reason}
    row.update(latency.get(tuple(str(result.labels[name]) for name in ("dataset", "classifier", "defense")), {}))
    if result.status != "ok":
        return row
    outcome = folder.outcome(result)
    metrics = cell_metrics(outcome)
    found = (metrics.clean, metrics.robust, metrics.undefended_clean, metrics.undefended)
    for name, value in zip(_ACCURACIES, found, strict=True):
        row.update(_columns(name, value))
    row["robust_accuracy_worst_draw"] = metrics.robust.worst
    row["mean_linf"] = float(outcome["linf"].mean())
    row["mean_l2"] = float(outcome["l2"].mean())
    row["verdict"] = str(verdict(outcome, float(result.labels["eps"])))
    return row


def _columns(name: str, value: Accuracy) -> dict[str, float]:
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def _pipeline_latency(frame: pd.DataFrame) -> dict[tuple[str, ...], dict[str, float]]:
    """Median and 95th percentile of the pipeline at its smallest batch, by dataset, classifier and defense."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    pipeline = frame[frame["target"] == "pipeline"].sort_values("batch_size", ascending=False)
    for row in pipeline.to_dict("records"):
        key = (str(row["dataset"]), str(row["classifier"]), str(row["defense"]))
        found[key] = {"latency_p50_ms": row["p50_ms"], "latency_p95_ms": row["p95_ms"]}
    return found
