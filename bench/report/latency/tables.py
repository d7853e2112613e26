"""Tables of latencies and of engines."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd

from bench.report.formats import formatted, three_digits
from bench.report.latency.frame import BASELINE
from bench.report.latency.remarks import remarks
from bench.report.report import Report
from bench.report.writers import NamedTable

_LABELS = ["dataset", "classifier", "defense", "engine", "precision", "device", "target"]

_ENGINE_NOTES = (
    "speedup: median of eager float32 over the engine's, in brackets the ratios of opposite "
    "quartiles; difference: largest difference of a purified pixel from eager float32; "
    "alike: share of images that get the same class as by eager float32"
)


def latency_tables(report: Report) -> Iterator[NamedTable]:
    """Latency per call and, where several were timed, engines beside eager float32."""
    latency = report.latency
    if not latency.empty:
        table = latency_table(latency)
        yield NamedTable("latency", "Latency per call", table, remarks(latency))

    if not report.engines.empty:
        table = engines_table(report.engines)
        yield NamedTable(
            "engines", "Engines and precisions", table, _ENGINE_NOTES, labels=("batch",)
        )


def latency_table(latency: pd.DataFrame) -> pd.DataFrame:
    """One row per defense, engine and target: median and 95th percentile at each batch size."""
    ok = latency[latency["status"] == "ok"]
    titles = {
        (name, size): f"{name} ms, batch {size}"
        for size in sorted(ok["batch_size"].unique())
        for name in ("p50", "p95")
    }

    rows = []
    for labels, group in ok.groupby(_LABELS, sort=False):
        calls = {row["batch_size"]: row for row in group.to_dict("records")}
        numbers = {
            title: three_digits(calls[size][f"{name}_ms"])
            for (name, size), title in titles.items()
            if size in calls
        }
        rows.append({**dict(zip(_LABELS, labels, strict=True)), **numbers})

    return pd.DataFrame(rows, columns=[*_LABELS, *titles.values()]).fillna("")


def engines_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per defense, target, batch size and engine."""
    rows = frame.to_dict("records")
    table = frame[["dataset", "classifier", "device", "defense", "target"]].copy()
    table["batch"] = frame["batch_size"]
    table["engine"] = frame["engine"]
    table["precision"] = frame["precision"]
    table["p50 ms"] = frame["p50_ms"].map(three_digits)
    table["speedup"] = [_speedup(row) for row in rows]
    table["difference"] = formatted(frame["difference"], "{:.1e}")
    table["alike"] = [_alike(row) for row in rows]

    return table


def _speedup(row: Mapping[Hashable, Any]) -> str:
    if (row["engine"], row["precision"]) == BASELINE or pd.isna(row["speedup"]):
        return ""

    value, low, high = (three_digits(row[f"speedup{end}"]) for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def _alike(row: Mapping[Hashable, Any]) -> str:
    return "" if pd.isna(row["alike"]) else f"{row['alike']:.1%} of {row['compared']:.0f}"
