"""The frame of latencies: one row per timed call, all rounds pooled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.metrics import drift, latency_summary
from bench.records.timing import EAGER, FLOAT32, Samples, Timing
from bench.spec import Spec

LATENCY_LABELS = (
    *("dataset", "classifier", "defense", "engine", "precision", "device"),
    *("target", "batch_size"),
)
_PERCENTILES = ("p25", "p50", "p75", "p90", "p95", "p99")
LATENCY_COLUMNS = (
    *(*LATENCY_LABELS, "defense_name", "calls", *(f"{name}_ms" for name in _PERCENTILES)),
    *("iqr_ms", "images_per_second", "cuda_p50_ms", "peak_memory_mib", "memory_rise_mib"),
    *("warmup", "stable", "rounds", "drift", "difference", "alike", "compared"),
    *("flops_per_image", "weight_bytes", "gflops_per_second"),
    *("threads", "clock_mhz", "busy_elsewhere", "status", "reason"),
)
BASELINE = (EAGER, FLOAT32)
"""The engine and precision that all others are compared with, and that accuracies belong to."""

_MIB = 2**20


def latency_frame(timings: Iterable[Timing], defenses: Sequence[str] = ()) -> pd.DataFrame:
    """One row per labels, engine, precision, device, target and batch size, the rounds pooled.

    Times are those of a call, in milliseconds. `rounds` is the number of rounds with samples,
    `drift` the largest relative difference between their medians. Of several rounds the worst value
    is given: smallest `warmup` and `alike`, largest memory, `busy_elsewhere` and `difference`;
    `stable` only if all rounds were. `gflops_per_second` is that of the median call. A timing
    without samples has its reason and no numbers; one with some failed rounds has both.

    Args:
        timings: raw times.
        defenses: specs in the order in which they are listed; others follow. Eager float32 is the
            first engine of each.
    """
    order = {name: index for index, name in enumerate(defenses)}
    groups: dict[tuple[Any, ...], list[Timing]] = {}
    for timing in timings:
        groups.setdefault(tuple(_labels(timing).values()), []).append(timing)

    def position(row: Mapping[str, Any]) -> tuple[Any, ...]:
        defense = (order.get(row["defense"], len(order)), row["defense"])
        return row["dataset"], row["classifier"], defense, engine_position(row)

    rows = sorted((_row(group) for group in groups.values()), key=position)
    return pd.DataFrame(rows, columns=list(LATENCY_COLUMNS))


def at_smallest_batch(latency: pd.DataFrame, target: str) -> pd.DataFrame:
    """The rows of a target that have numbers, at the smallest batch of the frame."""
    smallest = latency["batch_size"] == latency["batch_size"].min()
    rows: pd.DataFrame = latency[
        smallest & (latency["target"] == target) & (latency["status"] == "ok")
    ]

    return rows


def eager_float32(latency: pd.DataFrame) -> pd.DataFrame:
    """The rows of eager float32."""
    engine, precision = BASELINE

    return latency.loc[(latency["engine"] == engine) & (latency["precision"] == precision)]


def engine_title(engine: str, precision: str) -> str:
    """An engine with its precision for people; float32 is left out."""
    return engine if precision == FLOAT32 else f"{engine} {precision}"


def call_title(row: Mapping[Any, Any]) -> str:
    """A timed call for people, without its data set and classifier."""
    title = f"{row['defense']} {row['target']}, batch {row['batch_size']}"
    if (row["engine"], row["precision"]) == BASELINE:
        return title
    return f"{title}, {engine_title(row['engine'], row['precision'])}"


def engine_titles(latency: pd.DataFrame) -> list[str]:
    """All engines with their precisions, eager float32 first."""
    positions = {engine_position(row) for row in latency.to_dict("records")}

    return [engine_title(engine, precision) for _, engine, _, precision in sorted(positions)]


def engine_position(row: Mapping[Any, Any]) -> tuple[bool, str, bool, str]:
    """The sort key of a row's engine: eager first, and float32 first of each engine."""
    engine = str(row["engine"])
    precision = str(row["precision"])

    return engine != EAGER, engine, precision != FLOAT32, precision


def _labels(timing: Timing) -> dict[str, Any]:
    call = timing.call
    labels = {**vars(call), **call.pipeline.labels()}

    return {name: labels[name] for name in LATENCY_LABELS}


def _row(rounds: Sequence[Timing]) -> dict[str, Any]:
    """The row of all rounds of a call."""
    labels = _labels(rounds[0])
    ok = [timing for timing in rounds if timing.samples is not None]
    row = {**labels, "defense_name": Spec.parse(labels["defense"]).name, "rounds": len(ok)}
    row.update(_status(rounds))
    if not ok:
        return row

    samples = [timing.samples for timing in ok if timing.samples is not None]
    row.update(_times(samples, labels["batch_size"]))
    row.update(_memory(samples))
    row.update(_agreement(ok))
    row.update(_conditions(ok))
    row.update(_work(ok[0], row["images_per_second"]))

    return row


def _status(rounds: Sequence[Timing]) -> dict[str, str]:
    """Status and reason of a call: ok if any round is, with the reason of the others."""
    without = [timing for timing in rounds if timing.samples is None]
    if not without:
        return {"status": "ok", "reason": ""}

    worst = next((timing for timing in without if timing.status == "failed"), without[0])
    if len(without) == len(rounds):
        return {"status": worst.status, "reason": worst.reason}

    count = f"{len(without)} of {len(rounds)} rounds {worst.status}"
    return {"status": "ok", "reason": f"{count}: {worst.reason}"}


def _times(rounds: Sequence[Samples], batch_size: int) -> dict[str, Any]:
    seconds = list(chain.from_iterable(samples.seconds for samples in rounds))
    events = list(chain.from_iterable(samples.device_seconds for samples in rounds))
    summary = latency_summary(seconds, batch_size)

    return {
        "calls": summary.calls,
        **{f"{name}_ms": getattr(summary, name) for name in _PERCENTILES},
        "iqr_ms": summary.p75 - summary.p25,
        "images_per_second": summary.images_per_second,
        "cuda_p50_ms": float(np.median(events)) * 1e3 if events else None,
        "warmup": min(samples.warmup for samples in rounds),
        "stable": all(samples.stable for samples in rounds),
        "drift": drift([samples.seconds for samples in rounds]),
    }


def _memory(rounds: Sequence[Samples]) -> dict[str, float | None]:
    known = [samples for samples in rounds if samples.peak_memory is not None]
    peaks = [(samples.peak_memory or 0) / _MIB for samples in known]
    rises = [
        peak - samples.memory_before / _MIB
        for peak, samples in zip(peaks, known, strict=True)
        if samples.memory_before is not None
    ]

    return {
        "peak_memory_mib": max(peaks, default=None),
        "memory_rise_mib": max(rises, default=None),
    }


def _agreement(rounds: Sequence[Timing]) -> dict[str, float | None]:
    agreements = [timing.agreement for timing in rounds if timing.agreement is not None]

    return {
        "difference": max((agreement.difference for agreement in agreements), default=None),
        "alike": min((agreement.alike for agreement in agreements), default=None),
        "compared": min((agreement.images for agreement in agreements), default=None),
    }


def _conditions(rounds: Sequence[Timing]) -> dict[str, Any]:
    def known(name: str) -> list[Any]:
        values = (timing.conditions.get(name) for timing in rounds)
        return [value for value in values if value is not None]

    clocks = known("clock_mhz")
    return {
        "threads": min(known("threads"), default=None),
        "clock_mhz": sum(clocks) / len(clocks) if clocks else None,
        "busy_elsewhere": max(known("busy_elsewhere"), default=None),
    }


def _work(timing: Timing, images_per_second: float) -> dict[str, float | None]:
    flops = timing.flops_per_image

    return {
        "flops_per_image": flops,
        "weight_bytes": timing.weight_bytes,
        "gflops_per_second": None if flops is None else flops * images_per_second / 1e9,
    }
