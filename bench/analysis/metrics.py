"""Metrics: accuracies and distances of raw outcomes, and summaries of raw times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.records.outcome import REJECTED, Outcome

Array = NDArray[Any]

_Z = NormalDist().inv_cdf(0.975)
"""Quantile of the normal distribution for a 95 % interval."""

_CLOCKS_APART = 0.1
"""Share of the host's time by which the two clocks may differ."""

_LAUNCH = 50e-6
"""Seconds that starting and awaiting a call may add to the host's time."""


@dataclass(frozen=True)
class Accuracy:
    """A share of images classified as their label, with its 95 % Wilson interval.

    Attributes:
        value: share of images that are right; over several draws, the mean of their shares.
        low: lower end of the interval.
        high: upper end of the interval.
        worst: share of images that are right in every draw; equals `value` for a single draw.
    """

    value: float
    low: float
    high: float
    worst: float


def accuracy(predictions: Array, labels: Array) -> Accuracy:
    """The accuracy of predictions (n,) or (draws, n) for labels (n,)."""
    return share(predictions == labels)


def share(right: Array) -> Accuracy:
    """The share of images that are right, from booleans (n,) or (draws, n), or from shares (n,).

    A share of an image is that of its draws, in [0, 1]; the image is right in every draw at 1. The
    interval is Wilson's (1927) on n images: draws of one image are not independent, so they do not
    shrink it. It covers images and draws, since the variance of a share is at most that of a
    boolean of the same mean.
    """
    right = np.atleast_2d(right)
    n = right.shape[1]
    value = float(right.mean())
    low, high = _wilson(round(value * n), n)

    return Accuracy(value, low, high, float((right == 1).all(axis=0).mean()))


def clean_accuracy(outcome: Outcome) -> Accuracy:
    """The accuracy of the defended pipeline on clean images; a rejected one is not right."""
    return share(outcome.clean_right)


def robust_accuracy(outcome: Outcome) -> Accuracy:
    """The share of images on which the attack on the defended pipeline fails."""
    return share(outcome.right)


def clean_rejected(outcome: Outcome) -> Accuracy | None:
    """The share of clean images that the defense rejects; None for one that rejects no image."""
    return share(outcome.clean_defended == REJECTED) if outcome.rejections else None


def accepted_accuracy(outcome: Outcome) -> float | None:
    """The accuracy on the clean images that the defense accepts, the mean over draws.

    None for a defense that rejects no image; NaN for one that rejects all.
    """
    accepted = outcome.clean_defended != REJECTED
    if not outcome.rejections:
        return None
    return float(outcome.clean_right[accepted].mean()) if accepted.any() else math.nan


def adversarial_rejected(outcome: Outcome) -> Accuracy | None:
    """The share of adversarial images that the defense rejects; None as for `clean_rejected`."""
    return share(outcome.adversarial_defended == REJECTED) if outcome.rejections else None


def undefended_clean_accuracy(outcome: Outcome) -> Accuracy:
    """The accuracy of the bare classifier on clean images."""
    return accuracy(outcome.clean_undefended, outcome.labels)


def undefended_robust_accuracy(outcome: Outcome) -> Accuracy:
    """The accuracy of the bare classifier on adversarial images."""
    return accuracy(outcome.adversarial_undefended, outcome.labels)


def _wilson(k: int, n: int) -> tuple[float, float]:
    """The 95 % interval of k out of n, written out because scipy runs a test first."""
    centre = (k + _Z**2 / 2) / (n + _Z**2)
    half = _Z * math.sqrt(k * (n - k) / n + _Z**2 / 4) / (n + _Z**2)
    return (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)


def minimum_distance_median(distances: Array, clean: Array) -> float:
    """The median distance to the nearest adversarial image; infinite where most images have none.

    Args:
        distances: distance of each image, (n,); infinite where no adversarial image was found.
        clean: whether the pipeline is right on the clean image, bool (n,); an image that it gets
            wrong counts as distance 0.
    """
    return float(np.median(np.where(clean, distances, 0.0)))


@dataclass(frozen=True)
class LatencySummary:
    """Percentiles of raw times, in milliseconds.

    Attributes:
        calls: number of samples.
        p25: first quartile.
        p50: median.
        p75: third quartile.
        p90: 90th percentile.
        p95: 95th percentile.
        p99: 99th percentile; None for fewer than 100 samples.
        images_per_second: batch size over the median time.
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
    """The summary of the raw seconds of calls with `batch_size` images each."""
    ms = np.asarray(seconds) * 1e3
    p25, p50, p75, p90, p95 = (float(value) for value in np.percentile(ms, [25, 50, 75, 90, 95]))
    p99 = float(np.percentile(ms, 99)) if len(ms) >= 100 else None

    return LatencySummary(len(ms), p25, p50, p75, p90, p95, p99, batch_size / (p50 / 1e3))


def drift(rounds: Sequence[Sequence[float]]) -> float:
    """The relative difference between the median calls of the slowest and the fastest round.

    Args:
        rounds: raw seconds of each round, none of them empty.

    Returns:
        A share of the fastest round's median; NaN for a single round.
    """
    medians = [float(np.median(seconds)) for seconds in rounds]
    return max(medians) / min(medians) - 1 if len(medians) > 1 else math.nan


def clocks_apart(host: float, device: float) -> bool:
    """Whether the host's clock and CUDA events disagree by more than starting a call explains.

    Args:
        host: median seconds by the host's clock.
        device: median seconds by CUDA events.
    """
    return abs(host - device) > max(_LAUNCH, _CLOCKS_APART * host)


def pareto_front(latency: Sequence[float], accuracy: Sequence[float]) -> list[int]:
    """The indices of the points on the Pareto front, from the fastest to the most accurate.

    A point is off the front if another is at least as fast and at least as accurate, and better in
    one of the two. Points that are equal in both are on the front together.

    Args:
        latency: latency of each point; lower is better.
        accuracy: accuracy of each point; higher is better.
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
