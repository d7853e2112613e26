"""Costs of a defense: the time and the memory that it adds to the classifier behind it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.records.pipeline import Pipeline
from bench.report.decision.gains import REFERENCE
from bench.report.latency.frame import at_smallest_batch, eager_float32

COLUMNS = ("added_ms", "added_ms_low", "added_ms_high", "times_none", "memory_mib")


@dataclass(frozen=True)
class CallTime:
    """The time of one call of a pipeline at the smallest batch.

    Attributes:
        low: first quartile, in milliseconds.
        median: median, in milliseconds.
        high: third quartile, in milliseconds.
        memory: rise of the memory during the calls, in MiB; NaN where unknown.
        busy: number of cores that other processes kept busy; NaN where unknown.
    """

    low: float
    median: float
    high: float
    memory: float
    busy: float

    @classmethod
    def of(cls, row: Mapping[Hashable, Any]) -> CallTime:
        """The time in a row of the latency frame."""
        memory, busy = (_number(row[name]) for name in ("memory_rise_mib", "busy_elsewhere"))

        return cls(row["p25_ms"], row["p50_ms"], row["p75_ms"], memory, busy)

    def is_faster_than(self, other: CallTime) -> bool:
        """Whether the third quartile is below the other's first: faster beyond the quartiles."""
        return self.high < other.low


def call_times(latency: pd.DataFrame) -> dict[Pipeline, CallTime]:
    """The time of each pipeline at the smallest batch in eager float32, on the first device.

    Args:
        latency: frame of `bench.report.latency.frame.latency_frame`.
    """
    rows = at_smallest_batch(eager_float32(latency), "pipeline")
    rows = rows[rows["device"] == rows["device"].iloc[0]] if len(rows) else rows

    return {Pipeline.of(row): CallTime.of(row) for row in rows.to_dict("records")}


def costs(pipeline: Pipeline, times: Mapping[Pipeline, CallTime]) -> dict[str, float]:
    """The time that a defense adds to that of the bare classifier, and its memory, by column.

    The ends of the interval are differences of opposite quartiles. NaN where one of the two was not
    timed.

    Args:
        pipeline: defense and classifier, without a seed.
        times: time of each pipeline.
    """
    own = times.get(pipeline)
    bare = times.get(bare_classifier(pipeline))
    memory = own.memory if own else math.nan
    if own is None or bare is None:
        return {**dict.fromkeys(COLUMNS, math.nan), "memory_mib": memory}
    if own is bare:
        return dict(zip(COLUMNS, (0.0, 0.0, 0.0, 1.0, memory), strict=True))

    return {
        "added_ms": own.median - bare.median,
        "added_ms_low": own.low - bare.high,
        "added_ms_high": own.high - bare.low,
        "times_none": own.median / bare.median,
        "memory_mib": memory,
    }


def bare_classifier(pipeline: Pipeline) -> Pipeline:
    """The pipeline of the same classifier without a defense."""
    return Pipeline(pipeline.dataset, pipeline.classifier, REFERENCE)


def _number(value: object) -> float:
    return math.nan if pd.isna(value) else float(value)  # type: ignore[call-overload, arg-type]
