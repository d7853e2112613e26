"""The frame of published latencies beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from bench.report.published.matching import NOT_IN_RUN, Row
from bench.report.published.publication import PublishedFigure

COLUMNS = (
    *("source", "table", "dataset", "defense", "remark", "seconds", "printed_device"),
    *("classifier", "our_defense", "target", "engine", "precision", "device", "calls"),
    *("p50_seconds", "p25_seconds", "p75_seconds", "ratio", "state"),
)


def latencies_frame(latency: pd.DataFrame, figures: Iterable[PublishedFigure]) -> pd.DataFrame:
    """One row per published latency and matching timing at batch size 1.

    `ratio` is the published latency over our median.

    Args:
        latency: frame of `bench.report.latency.frame.latency_frame`.
        figures: published figures.
    """
    single = latency[(latency["batch_size"] == 1) & (latency["status"] != "skipped")]
    rows = [row for figure in figures for row in _rows(single, figure)]

    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(single: pd.DataFrame, figure: PublishedFigure) -> Iterator[dict[str, Any]]:
    if figure.latency_s is None:
        return

    printed = {
        **{name: getattr(figure, name) for name in ("source", "table", "dataset", "defense")},
        "remark": figure.note,
        "seconds": figure.latency_s,
        "printed_device": figure.device,
    }
    timings = single[
        (single["dataset"] == figure.dataset) & (single["defense_name"] == figure.defense)
    ]

    if timings.empty:
        yield {**printed, "state": NOT_IN_RUN}
    for row in timings.to_dict("records"):
        yield {**printed, **_ours(row, figure.latency_s)}


def _ours(row: Row, published_seconds: float) -> dict[str, Any]:
    names = ("classifier", "target", "engine", "precision", "device", "calls")
    labels = {**{name: row[name] for name in names}, "our_defense": row["defense"]}
    if row["status"] != "ok":
        return {**labels, "state": f"{row['status']}: {row['reason']}"}

    times = {f"{name}_seconds": row[f"{name}_ms"] / 1e3 for name in ("p25", "p50", "p75")}
    return {**labels, **times, "ratio": published_seconds / times["p50_seconds"], "state": ""}
