"""Latency derived from raw times: one row per way of running a pipeline, and the tables of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.metrics import clocks_apart, drift, latency_summary
from bench.records.timing import BUSY, EAGER, FLOAT32, Samples, Timing
from bench.report.text import some, three_digits

LATENCY_LABELS = (
    "dataset",
    "classifier",
    "defense",
    "engine",
    "precision",
    "device",
    "target",
    "batch_size",
)
_PERCENTILES = ("p25", "p50", "p75", "p90", "p95", "p99")
LATENCY_COLUMNS = (
    *(
        *LATENCY_LABELS,
        "calls",
        *(f"{name}_ms" for name in _PERCENTILES),
        "iqr_ms",
        "images_per_second",
    ),
    *("cuda_p50_ms", "peak_memory_mib", "memory_rise_mib", "warmup", "stable", "rounds", "drift"),
    *("difference", "alike", "compared", "flops_per_image", "weight_bytes", "gflops_per_second"),
    *("threads", "clock_mhz", "busy_elsewhere", "status", "reason"),
)
PLAIN = (EAGER, FLOAT32)
"""The engine and precision that the others are held against, and whose output the accuracies are of."""

_SAME = ("dataset", "classifier", "device", "defense", "target", "batch_size")
_ENGINES = (
    *(*_SAME, "engine", "precision", "calls", "p50_ms", "faster", "faster_low", "faster_high"),
    *("difference", "alike", "compared"),
)

_DRIFTED = 0.15
_FEW = 20
ALIKE = 0.99
"""Share of the images that an engine must classify as eager float32 does, for that one's accuracy to be its own."""

_MIB = 2**20


def latency_frame(timings: Iterable[Timing], defenses: Sequence[str] = ()) -> pd.DataFrame:
    """One row per labels, engine, precision, device, target and batch size, the rounds' samples
    pooled.

    Times are of a call, in milliseconds. `rounds` counts those with samples; `drift` is the largest
    relative difference between their medians. Of several rounds the worst is told: least `warmup`,
    `stable` only if all were, largest memory, `busy_elsewhere` and `difference`, smallest share
    `alike`. `gflops_per_second` is what the median call achieves. A timing without samples has its
    reason and no numbers; one of which some rounds failed has both.

    Args:
        timings: raw times.
        defenses: in the order in which they are to come; others come after them. Eager float32
            comes first of each.
    """
    place = {name: index for index, name in enumerate(defenses)}
    groups: dict[tuple[Any, ...], list[Timing]] = {}
    for timing in timings:
        groups.setdefault(tuple(_labels(timing).values()), []).append(timing)

    def position(row: Mapping[str, Any]) -> tuple[Any, ...]:
        defense = (place.get(row["defense"], len(place)), row["defense"])
        return row["dataset"], row["classifier"], defense, _place(row)

    rows = sorted((_row(group) for group in groups.values()), key=position)
    return pd.DataFrame(rows, columns=list(LATENCY_COLUMNS))


def timed(latency: pd.DataFrame, target: str) -> pd.DataFrame:
    """The rows of a target that have numbers, at the smallest batch of the run."""
    smallest = latency["batch_size"] == latency["batch_size"].min()
    found: pd.DataFrame = latency[
        smallest & (latency["target"] == target) & (latency["status"] == "ok")
    ]
    return found


def plain(latency: pd.DataFrame) -> pd.DataFrame:
    """The rows of eager float32."""
    return latency.loc[(latency["engine"] == PLAIN[0]) & (latency["precision"] == PLAIN[1])]


def way(engine: str, precision: str) -> str:
    """An engine and precision as people call them; float32 goes without saying."""
    return engine if precision == PLAIN[1] else f"{engine} {precision}"


def ways(latency: pd.DataFrame) -> list[str]:
    """All engines with their precisions, eager float32 first."""
    found = {_place(row) for row in latency.to_dict("records")}
    return [way(engine, precision) for _, engine, _, precision in sorted(found)]


def _place(row: Mapping[Any, Any]) -> tuple[bool, str, bool, str]:
    """Where a row's engine and precision stand: eager first, and float32 first of each engine."""
    engine, precision = str(row["engine"]), str(row["precision"])
    return engine != PLAIN[0], engine, precision != PLAIN[1], precision


def _labels(timing: Timing) -> dict[str, Any]:
    subject = timing.subject
    found = {
        **subject.pipeline.labels(),
        **{name: getattr(subject, name) for name in LATENCY_LABELS if hasattr(subject, name)},
    }
    return {name: found[name] for name in LATENCY_LABELS}


def _row(rounds: Sequence[Timing]) -> dict[str, Any]:
    ok = [(timing, timing.samples) for timing in rounds if timing.samples is not None]
    others = [timing for timing in rounds if timing.samples is None]
    row = {**_labels(rounds[0]), "rounds": len(ok), "status": "ok", "reason": ""}
    if others:
        worst = next((timing for timing in others if timing.status == "failed"), others[0])
        row["reason"] = (
            worst.reason
            if not ok
            else f"{len(others)} of {len(rounds)} rounds {worst.status}: {worst.reason}"
        )
        row["status"] = "ok" if ok else worst.status
    if ok:
        row.update(
            _times([samples for _, samples in ok], row["batch_size"]),
            **_memory([samples for _, samples in ok]),
        )
        row.update(
            _agreement([timing for timing, _ in ok]), **_conditions([timing for timing, _ in ok])
        )
        first = ok[0][0]
        rate = (
            None
            if first.flops_per_image is None
            else first.flops_per_image * row["images_per_second"] / 1e9
        )
        row.update(
            flops_per_image=first.flops_per_image,
            weight_bytes=first.weight_bytes,
            gflops_per_second=rate,
        )
    return row


def _times(rounds: Sequence[Samples], batch_size: int) -> dict[str, Any]:
    summary = latency_summary(
        list(chain.from_iterable(samples.seconds for samples in rounds)), batch_size
    )
    events = list(chain.from_iterable(samples.device_seconds for samples in rounds))
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
    found = [timing.agreement for timing in rounds if timing.agreement is not None]
    return {
        "difference": max((each.difference for each in found), default=None),
        "alike": min((each.alike for each in found), default=None),
        "compared": min((each.images for each in found), default=None),
    }


def _conditions(rounds: Sequence[Timing]) -> dict[str, Any]:
    def known(name: str) -> list[Any]:
        return [found for timing in rounds if (found := timing.conditions.get(name)) is not None]

    clocks = known("clock_mhz")
    return {
        "threads": min(known("threads"), default=None),
        "clock_mhz": sum(clocks) / len(clocks) if clocks else None,
        "busy_elsewhere": max(known("busy_elsewhere"), default=None),
    }


def latency_table(latency: pd.DataFrame) -> pd.DataFrame:
    """One row per defense, engine, precision and target: median and 95th percentile of a call at each batch size."""
    rows = ["dataset", "classifier", "defense", "engine", "precision", "device", "target"]
    ok = latency[latency["status"] == "ok"]
    found = []
    for labels, group in ok.groupby(rows, sort=False):
        numbers = {
            f"{name} ms, batch {row['batch_size']}": three_digits(row[f"{name}_ms"])
            for row in group.to_dict("records")
            for name in ("p50", "p95")
        }
        found.append({**dict(zip(rows, labels, strict=True)), **numbers})
    titles = [
        f"{name} ms, batch {size}"
        for size in sorted(ok["batch_size"].unique())
        for name in ("p50", "p95")
    ]
    return pd.DataFrame(found, columns=[*rows, *titles]).fillna("")


ENGINES_BELOW = (
    "times faster: median of eager float32 over the engine's, in brackets its lower quartile over the engine's upper "
    "one, and its upper over the lower; difference: the largest of a purified pixel from eager float32; "
    "alike: share of the images that are classified as there"
)


def engines_frame(latency: pd.DataFrame) -> pd.DataFrame:
    """One row per timing that has numbers, beside eager float32 of the same; empty where nothing
    but that was timed.

    `faster` is the ratio of the medians, eager float32 over this one; `faster_low` and
    `faster_high` are the ratios of opposite quartiles.
    """
    ok = latency[latency["status"] == "ok"]
    if len(plain(ok)) == len(ok):
        return pd.DataFrame(columns=list(_ENGINES))
    quartiles = ["p25_ms", "p50_ms", "p75_ms"]
    both = ok.merge(
        plain(ok)[[*_SAME, *quartiles]], on=list(_SAME), how="left", suffixes=("", "_plain")
    )
    for end, of_plain, own in (("", "p50", "p50"), ("_low", "p25", "p75"), ("_high", "p75", "p25")):
        both[f"faster{end}"] = both[f"{of_plain}_ms_plain"] / both[f"{own}_ms"]
    order = {
        name: list(dict.fromkeys(both[name]))
        for name in ("dataset", "classifier", "device", "defense")
    }

    def place(row: Mapping[Hashable, Any]) -> tuple[Any, ...]:
        labels = (found.index(row[name]) for name, found in order.items())
        return (*labels, row["target"], row["batch_size"], _place(row))

    rows: list[dict[Hashable, Any]] = both.to_dict("records")
    rows.sort(key=place)
    return pd.DataFrame(rows, columns=list(_ENGINES))


def engines_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per defense, target, batch size and engine; see `engines_frame`."""
    table = frame[["dataset", "classifier", "device", "defense", "target"]].copy()
    table["batch"] = frame["batch_size"]
    table["engine"], table["precision"] = frame["engine"], frame["precision"]
    table["p50 ms"] = frame["p50_ms"].map(three_digits)
    table["times faster"] = [_faster(row) for row in frame.to_dict("records")]
    table["difference"] = [
        "" if pd.isna(value) else f"{value:.1e}" for value in frame["difference"]
    ]
    table["alike"] = [_alike(row) for row in frame.to_dict("records")]
    return table


def _faster(row: Mapping[Hashable, Any]) -> str:
    if (row["engine"], row["precision"]) == PLAIN or pd.isna(row["faster"]):
        return ""
    value, low, high = (three_digits(row[f"faster{end}"]) for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def _alike(row: Mapping[Hashable, Any]) -> str:
    return "" if pd.isna(row["alike"]) else f"{row['alike']:.1%} of {row['compared']:.0f}"


def remarks(latency: pd.DataFrame) -> str:
    """What is missing and why, and which numbers are doubtful and why.

    A line each, nothing where all is well.
    """
    lines = []
    for (status, reason), rows in latency[latency["reason"] != ""].groupby(
        ["status", "reason"], sort=False
    ):
        what = f"{len(rows)} timing{'s' if len(rows) > 1 else ''}"
        lines.append(f"{what} {status}: {reason}" if status != "ok" else f"{what}: {reason}")
    ok = latency[latency["status"] == "ok"]
    for title, doubtful, number in (
        (
            f"medians of rounds more than {_DRIFTED:.0%} apart",
            ok["drift"] > _DRIFTED,
            " ({drift:.0%})",
        ),
        ("not stable after the warm-up", ok["stable"].isin([False]), ""),
        (
            f"fewer than {_FEW} calls, so p95 is nearly the slowest",
            ok["calls"] < _FEW,
            " ({calls:.0f})",
        ),
        ("classified otherwise than by eager float32", ok["alike"] < ALIKE, " ({alike:.1%} alike)"),
        ("other processes kept cores busy", ok["busy_elsewhere"] > BUSY, " ({busy_elsewhere:.1f})"),
        (
            "CUDA events disagree with the host's clock",
            _apart(ok),
            " ({cuda_p50_ms:.3g} and {p50_ms:.3g} ms)",
        ),
    ):
        names = [_named(row) + number.format_map(row) for row in ok[doubtful].to_dict("records")]
        if names:
            lines.append(f"{title}: {some(names)}")
    return "\n".join(lines)


def _apart(ok: pd.DataFrame) -> pd.Series[bool]:
    pairs = zip(ok["p50_ms"], ok["cuda_p50_ms"], strict=True)
    return pd.Series(
        [pd.notna(cuda) and clocks_apart(host / 1e3, cuda / 1e3) for host, cuda in pairs],
        ok.index,
        bool,
    )


def _named(row: Mapping[Hashable, Any]) -> str:
    engine = way(row["engine"], row["precision"])
    return f"{row['defense']} {row['target']}, batch {row['batch_size']}" + (
        f", {engine}" if engine != PLAIN[0] else ""
    )
