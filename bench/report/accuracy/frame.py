"""Frames of accuracies: one row per cell, and statistics over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.uncertainty import detection_scores
from bench.analysis.verdict import Verdict
from bench.records.cell import LABELS, CellRecord
from bench.records.outcome import Outcome
from bench.records.pipeline import Pipeline
from bench.report.accuracy.metrics import METRICS
from bench.report.columns import norm_name, training_columns
from bench.report.latency.frame import at_smallest_batch, eager_float32

EXTRA = "extra_"
"""Start of the columns of numbers that a defense tells of each image."""

DETECTION = "auroc_extra_"
"""Start of the columns that say how well such a number detects adversarial images."""

RESULT_COLUMNS = (
    *LABELS,
    *("defense_name", "attack_name", "threat_name", "norm", "eot", "n"),
    *(column for metric in METRICS for column in metric.columns),
    *("latency_p50_ms", "latency_p95_ms", "trained_for", "trained_eps"),
    *("verdict", "reasons", "status", "reason"),
)


def results_frame(
    records: Iterable[CellRecord],
    cells: Sequence[EvaluatedCell],
    verdicts: Mapping[str, Verdict],
    latency: pd.DataFrame,
) -> pd.DataFrame:
    """One row per recorded cell; a failed or skipped cell has its reason and no numbers.

    `robust_accuracy` is the mean over draws, `robust_accuracy_worst_draw` the share of images right
    in every draw. `latency_p50_ms` and `latency_p95_ms` are those of the whole pipeline at the
    smallest timed batch, in eager float32. `trained_for` and `trained_eps` are the attack and the
    epsilon that the defense was trained for, see `bench.report.columns.training_columns`.
    `verdict` is the level of the verdict, `reasons` its reasons, separated by `; `. A column
    `extra_NAME` is the mean of a number that a defense tells of each clean image, and
    `auroc_extra_NAME` the probability that it is larger for an adversarial than for a clean image.

    Args:
        records: records of all cells.
        cells: cells that are ok.
        verdicts: verdict of each ok cell, by key.
        latency: frame of `bench.report.latency.frame.latency_frame`.
    """
    times = _pipeline_latency(latency)
    outcomes = {cell.record.key: cell.outcome for cell in cells}

    rows = []
    for record in records:
        row = _labels(record)
        row.update(times.get(record.pipeline.without_seed, {}))
        if record.key in outcomes:
            row.update(_numbers(outcomes[record.key], verdicts[record.key]))
        rows.append(row)

    extras = sorted({name for row in rows for name in row if name.startswith((EXTRA, DETECTION))})
    return pd.DataFrame(rows, columns=[*RESULT_COLUMNS, *extras])


def seeds_frame(results: pd.DataFrame) -> pd.DataFrame:
    """One row per cell without its seed: mean, standard deviation, minimum and maximum over seeds.

    Empty for a single seed.
    """
    labels = [name for name in LABELS if name != "seed"]
    columns = {"seeds": ("seed", "nunique")}
    for name in ("clean_accuracy", "robust_accuracy"):
        columns.update({f"{name}_{how}": (name, how) for how in ("mean", "std", "min", "max")})

    ok = results[results["status"] == "ok"]
    if ok["seed"].nunique() < 2:
        return pd.DataFrame(columns=[*labels, *columns])
    return ok.groupby(labels, sort=False).agg(**columns).reset_index()


def _labels(record: CellRecord) -> dict[str, Any]:
    return {
        **record.labels,
        "defense_name": record.defense_name,
        "attack_name": record.attack_name,
        "threat_name": record.properties.threat,
        "norm": norm_name(record),
        "eot": record.properties.eot,
        "n": record.n,
        "status": record.status,
        "reason": record.reason,
        **training_columns(record),
    }


def _numbers(outcome: Outcome, verdict: Verdict) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for metric in METRICS:
        numbers.update(metric.numbers(outcome))
    for name, values in outcome.clean_extras.items():
        told = values[~np.isnan(values)]
        numbers[EXTRA + name] = float(told.mean()) if len(told) else math.nan
    for name, score in detection_scores(outcome).items():
        numbers[DETECTION + name] = score

    return {**numbers, "verdict": verdict.level, "reasons": "; ".join(verdict.reasons)}


def _pipeline_latency(latency: pd.DataFrame) -> dict[Pipeline, dict[str, float]]:
    """Median and 95th percentile of each pipeline at the smallest batch, in eager float32."""
    rows = at_smallest_batch(eager_float32(latency), "pipeline")

    return {
        Pipeline.of(row): {"latency_p50_ms": row["p50_ms"], "latency_p95_ms": row["p95_ms"]}
        for row in rows.to_dict("records")
    }
