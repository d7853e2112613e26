"""Numbers derived from raw outcomes and raw times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.records.outcome import Outcome

Array = NDArray[Any]

_Z = NormalDist().inv_cdf(0.975)

_CLOCKS_APART = 0.1
_LAUNCH = 50e-6
"""Seconds by which the host's clock may exceed the device's for starting and awaiting a call."""


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
    """Accuracy of predictions (n,) or (draws, n) against labels (n,)."""
    return share(predictions == labels)


def share(right: Array) -> Accuracy:
    """The share of images that are right, from booleans (n,) or (draws, n).

    The interval is Wilson's (1927) on n images: draws of one image are not independent, so they do
    not shrink it.
    """
    right = np.atleast_2d(right)
    value, n = float(right.mean()), right.shape[1]
    low, high = _wilson(round(value * n), n)
    return Accuracy(value, low, high, float(right.all(axis=0).mean()))


def _wilson(k: int, n: int) -> tuple[float, float]:
    """The 95 % interval of k out of n.

    Written out, because scipy tests a hypothesis before it gives one.
    """
    centre = (k + _Z**2 / 2) / (n + _Z**2)
    half = _Z * math.sqrt(k * (n - k) / n + _Z**2 / 4) / (n + _Z**2)
    return (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)


def minimum_distance_median(distances: Array, clean: Array) -> float:
    """The median distance to the nearest adversarial image; infinite where most images have none.

    Args:
        distances: (n,), infinity where nothing was found.
        clean: whether the pipeline is right on the clean image, (n,); one it gets wrong is at
            distance 0.
    """
    return float(np.median(np.where(clean, distances, 0.0)))


@dataclass(frozen=True)
class CellMetrics:
    """What a cell's raw outcome comes to."""

    clean_accuracy: Accuracy
    robust_accuracy: Accuracy
    undefended_clean_accuracy: Accuracy
    undefended_robust_accuracy: Accuracy


def cell_metrics(outcome: Outcome) -> CellMetrics:
    """Accuracies of a raw outcome."""
    labels = outcome.labels
    return CellMetrics(
        clean_accuracy=accuracy(outcome.clean_defended, labels),
        robust_accuracy=accuracy(outcome.adversarial_defended, labels),
        undefended_clean_accuracy=accuracy(outcome.clean_undefended, labels),
        undefended_robust_accuracy=accuracy(outcome.adversarial_undefended, labels),
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


def latency_summary(seconds: Sequence[float], batch_size: int) -> LatencySummary:
    """Summary of the raw seconds of calls with `batch_size` images each."""
    ms = np.asarray(seconds) * 1e3
    p25, p50, p75, p90, p95 = (float(value) for value in np.percentile(ms, [25, 50, 75, 90, 95]))
    p99 = float(np.percentile(ms, 99)) if len(ms) >= 100 else None
    return LatencySummary(len(ms), p25, p50, p75, p90, p95, p99, batch_size / (p50 / 1e3))


def drift(rounds: Sequence[Sequence[float]]) -> float:
    """How much longer the median call of the slowest round took than that of the fastest, as a
    share of the latter.

    Args:
        rounds: the raw seconds of each round; none is empty.

    Returns:
        NaN for a single round.
    """
    medians = [float(np.median(seconds)) for seconds in rounds]
    return max(medians) / min(medians) - 1 if len(medians) > 1 else math.nan


def clocks_apart(host: float, device: float) -> bool:
    """Whether the median seconds of the host's clock and of CUDA events differ by more than starting a call takes."""
    return abs(host - device) > max(_LAUNCH, _CLOCKS_APART * host)


def pareto_front(latency: Sequence[float], accuracy: Sequence[float]) -> list[int]:
    """Which points are on the Pareto front, from the fastest to the most accurate.

    A point is not if another is at least as fast and at least as accurate, and better in one of the
    two; of points that are equal in both all are.

    Args:
        latency: of each point, lower is better.
        accuracy: of each point, higher is better.
    """
    order = sorted(range(len(latency)), key=lambda index: (latency[index], -accuracy[index]))
    front: list[int] = []
    for index in order:
        last = front[-1] if front else None
        equal = last is not None and (latency[index], accuracy[index]) == (
            latency[last],
            accuracy[last],
        )
        if last is None or equal or accuracy[index] > accuracy[last]:
            front.append(index)
    return front
