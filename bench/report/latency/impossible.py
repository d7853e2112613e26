"""Impossible timings: a purifier alone that is slower than the purifier and the classifier."""

from __future__ import annotations

import pandas as pd

from bench.report.latency.frame import LATENCY_LABELS

_SAME = [name for name in LATENCY_LABELS if name != "target"]


def impossible_timings(latency: pd.DataFrame) -> pd.DataFrame:
    """The timings of purifiers that are slower than the pipelines that contain them.

    Half of the calls of each lie between its quartiles. A pair is listed if the lower quartile of
    the purifier is above the upper one of the pipeline, so that no ordinary spread explains it:
    the machine changed between the two.

    Args:
        latency: frame of latencies.

    Returns:
        The rows of the purifiers, with `pipeline_p50_ms`, the median of the pipeline in
        milliseconds, as a further column.
    """
    ok = latency[latency["status"] == "ok"]
    pipelines = ok.loc[ok["target"] == "pipeline", [*_SAME, "p50_ms", "p75_ms"]]
    pipelines = pipelines.rename(columns={"p50_ms": "pipeline_p50_ms", "p75_ms": "_p75_ms"})
    purifiers = ok[ok["target"] == "purifier"].merge(pipelines, on=_SAME)

    slower: pd.DataFrame = purifiers[purifiers["p25_ms"] > purifiers["_p75_ms"]]
    return slower.drop(columns="_p75_ms")
