"""Remarks on latencies: timings that are missing, and numbers that are doubtful."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.analysis.metrics import clocks_apart
from bench.records.timing import BUSY
from bench.report.formats import abbreviated
from bench.report.latency.engines import ALIKE
from bench.report.latency.frame import call_title
from bench.report.latency.impossible import impossible_timings

_DRIFTED = 0.15
"""Relative difference between the medians of rounds from which a timing is doubtful."""

_FEW = 20
"""Number of calls below which the 95th percentile is nearly the slowest call."""


def remarks(latency: pd.DataFrame) -> str:
    """One line per reason of missing timings and per kind of doubt; empty if all is well."""
    ok = latency[latency["status"] == "ok"]

    return "\n".join([*_reasons(latency), *_doubts(ok), *_impossible(ok)])


def _reasons(latency: pd.DataFrame) -> Iterator[str]:
    given = latency[latency["reason"] != ""]

    for (status, reason), rows in given.groupby(["status", "reason"], sort=False):
        count = f"{len(rows)} timing{'s' if len(rows) > 1 else ''}"
        yield f"{count}: {reason}" if status == "ok" else f"{count} {status}: {reason}"


def _doubts(ok: pd.DataFrame) -> Iterator[str]:
    kinds = (
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
            _clocks_apart(ok),
            " ({cuda_p50_ms:.3g} and {p50_ms:.3g} ms)",
        ),
    )

    for title, doubtful, number in kinds:
        rows = ok[doubtful].to_dict("records")
        if rows:
            names = [call_title(row) + number.format_map(row) for row in rows]
            yield f"{title}: {abbreviated(names)}"


def _impossible(ok: pd.DataFrame) -> Iterator[str]:
    names = [
        f"{call_title(row)} ({row['p50_ms']:.3g} and {row['pipeline_p50_ms']:.3g} ms)"
        for row in impossible_timings(ok).to_dict("records")
    ]
    if names:
        yield f"impossible, slower than the pipeline that contains it: {abbreviated(names)}"


def _clocks_apart(ok: pd.DataFrame) -> pd.Series[bool]:
    pairs = zip(ok["p50_ms"], ok["cuda_p50_ms"], strict=True)
    apart = [pd.notna(cuda) and clocks_apart(host / 1e3, cuda / 1e3) for host, cuda in pairs]

    return pd.Series(apart, ok.index, bool)
