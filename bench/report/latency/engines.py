"""The frame of engines and precisions beside eager float32."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from bench.report.latency.frame import eager_float32, engine_position

ALIKE = 0.99
"""Share of images that an engine must classify as eager float32 does to share its accuracy."""

_SAME = ("dataset", "classifier", "device", "defense", "target", "batch_size")
COLUMNS = (
    *(*_SAME, "engine", "precision", "calls", "p50_ms"),
    *("speedup", "speedup_low", "speedup_high", "difference", "alike", "compared"),
)


def engines_frame(latency: pd.DataFrame) -> pd.DataFrame:
    """One row per timing with numbers, beside eager float32 of the same call.

    `speedup` is the median of eager float32 over that of the engine; `speedup_low` is its lower
    quartile over the engine's upper one, `speedup_high` the reverse. Empty where only eager float32
    was timed.
    """
    ok = latency[latency["status"] == "ok"]
    baseline = eager_float32(ok)
    if len(baseline) == len(ok):
        return pd.DataFrame(columns=list(COLUMNS))

    quartiles = baseline[[*_SAME, "p25_ms", "p50_ms", "p75_ms"]]
    both = ok.merge(quartiles, on=list(_SAME), how="left", suffixes=("", "_eager"))
    both["speedup"] = both["p50_ms_eager"] / both["p50_ms"]
    both["speedup_low"] = both["p25_ms_eager"] / both["p75_ms"]
    both["speedup_high"] = both["p75_ms_eager"] / both["p25_ms"]

    return _sorted(both)


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    """By labels in the order in which they appear, target, batch size and engine."""
    names = ("dataset", "classifier", "device", "defense")
    order = {name: list(dict.fromkeys(frame[name])) for name in names}

    def position(row: Mapping[Hashable, Any]) -> tuple[Any, ...]:
        labels = (values.index(row[name]) for name, values in order.items())
        return (*labels, row["target"], row["batch_size"], engine_position(row))

    rows: list[dict[Hashable, Any]] = frame.to_dict("records")
    rows.sort(key=position)
    return pd.DataFrame(rows, columns=list(COLUMNS))
