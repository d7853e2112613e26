"""Numbers derived from raw outcomes and raw times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Array = NDArray[Any]


@dataclass(frozen=True)
class Accuracy:
    """A share of images classified as their label, with its 95 % Wilson interval.

    Attributes:
        value: the share; over several draws, their mean.
        low: lower end of the interval.
        high: upper end.
        worst: the share of images right in every draw; `value` where there is one draw.
    """

    value: float
    low: float
    high: float
    worst: float


def accuracy(predictions: Array, labels: Array) -> Accuracy:
    """Accuracy of predictions (n,) or (draws, n) against labels (n,).

    The interval is Wilson's (1927) on n images: draws of one image are not independent, so they do not shrink it.
    """
    right = np.atleast_2d(predictions) == labels
    value, n = float(right.mean()), right.shape[1]
    interval = binomtest(round(value * n), n).proportion_ci(0.95, method="wilson")
    return Accuracy(value, float(interval.low), float(interval.high), float(right.all(axis=0).mean()))


@dataclass(frozen=True)
class CellMetrics:
    """What a cell's raw outcome comes to."""

    clean: Accuracy
    undefended_clean: Accuracy
    robust: Accuracy
    undefended: Accuracy


def cell_metrics(outcome: Mapping[str, Array]) -> CellMetrics:
    """Accuracies of a raw outcome."""
    labels = outcome["labels"]
    return CellMetrics(
        clean=accuracy(outcome["clean_defended"], labels),
        undefended_clean=accuracy(outcome["clean_undefended"], labels),
        robust=accuracy(outcome["adversarial_defended"], labels),
        undefended=accuracy(outcome["adversarial_undefended"], labels),
    )


@dataclass(frozen=True)
class LatencySummary:
    """Percentiles of raw times, in milliseconds; p99 only from 100 samples up.

    Attributes:
        calls: how many samples.
        p25: first quartile; with p75 the interquartile range.
        images_per_second: batch size over the median.
    """

    calls: int
    p25: float
    p50: float
    p75: float
    p90: float
    p95: float
    p99: float | None
    images_per_second: float


def latency_summary(seconds: tuple[float, ...], batch_size: int) -> LatencySummary:
    """Summary of the raw seconds of calls with `batch_size` images each."""
    ms = np.asarray(seconds) * 1e3
    p25, p50, p75, p90, p95 = (float(value) for value in np.percentile(ms, [25, 50, 75, 90, 95]))
    p99 = float(np.percentile(ms, 99)) if len(ms) >= 100 else None
    return LatencySummary(len(ms), p25, p50, p75, p90, p95, p99, batch_size / (p50 / 1e3))
