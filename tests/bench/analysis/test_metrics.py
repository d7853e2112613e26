"""Derived numbers against closed forms and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from bench.analysis.metrics import (
    accuracy,
    clocks_apart,
    drift,
    latency_summary,
    minimum_distance_median,
    pareto_front,
    share,
)


def wilson(k: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson 1927, equation 4."""
    p = k / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(counts: tuple[int, int]) -> None:
    k, n = counts
    found = accuracy(np.array([0] * k + [1] * (n - k)), np.zeros(n))
    assert found.value == k / n
    assert (found.low, found.high) == pytest.approx(wilson(k, n), abs=1e-9)
    oracle = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(k: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3."""
    found = share(np.arange(n) < k)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_draws_give_mean_and_worst() -> None:
    found = accuracy(np.array([[0, 0, 1, 1], [0, 1, 0, 1]]), np.zeros(4))
    assert (found.value, found.worst) == (0.5, 0.25)
    assert found.low == pytest.approx(wilson(2, 4)[0])


def test_shares_of_draws_give_their_mean_and_the_interval_of_as_many_images() -> None:
    found = share(np.array([1.0, 0.5, 0.5, 0.0]))
    assert (found.value, found.worst) == (0.5, 0.25)
    assert (found.low, found.high) == pytest.approx(wilson(2, 4))


def test_percentiles_are_of_the_raw_samples() -> None:
    summary = latency_summary(tuple(i / 1000 for i in range(1, 102)), 32)
    assert (summary.calls, summary.p25, summary.p50, summary.p75) == (101, 26.0, 51.0, 76.0)
    assert summary.p99 == pytest.approx(100.0)
    assert summary.images_per_second == pytest.approx(32 / 0.051)


def test_p99_needs_a_hundred_samples() -> None:
    assert latency_summary((0.001,) * 99, 1).p99 is None
    assert latency_summary((0.001,) * 100, 1).p99 == pytest.approx(1.0)


def test_the_nearest_image_of_one_that_is_wrong_anyway_is_itself() -> None:
    distances = np.array([0.3, 0.1, np.inf, 0.2, np.inf])
    assert minimum_distance_median(distances, np.ones(5, bool)) == 0.3
    assert minimum_distance_median(distances, np.array([True, True, False, True, False])) == 0.1
    assert minimum_distance_median(np.array([0.1, np.inf]), np.ones(2, bool)) == np.inf


def test_drift_is_of_the_slowest_round_over_the_fastest() -> None:
    assert drift([(1.0, 2.0, 9.0), (2.5, 2.5), (1.0, 2.2, 50.0)]) == pytest.approx(0.25)
    assert drift([(3.0, 1.0), (2.0,)]) == 0
    assert math.isnan(drift([(1.0, 2.0)]))


@pytest.mark.parametrize(
    ("host", "device", "apart"),
    [
        (100e-6, 55e-6, False),  # within what starting a call takes
        (100e-6, 45e-6, True),
        (10e-3, 9.1e-3, False),  # within a tenth
        (10e-3, 8.9e-3, True),
        (10e-3, 11.1e-3, True),
    ],
)
def test_clocks_may_differ_by_a_launch_or_a_tenth(host: float, device: float, apart: bool) -> None:
    assert clocks_apart(host, device) is apart


def test_the_pareto_front_by_hand() -> None:
    """0 is the fastest; 2 is as accurate and slower; 3 is as fast as 1 and worse.

    4 is the best, 5 its equal.
    """
    latency, right = [1.0, 2.0, 3.0, 2.0, 9.0, 9.0], [0.5, 0.7, 0.5, 0.6, 0.9, 0.9]
    assert pareto_front(latency, right) == [0, 1, 4, 5]
    assert pareto_front([], []) == []


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), max_size=12))
def test_the_pareto_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    def dominated(index: int) -> bool:
        time, right = points[index]
        return any(t <= time and r >= right and (t, r) != (time, right) for t, r in points)

    front = pareto_front([float(time) for time, _ in points], [float(right) for _, right in points])
    assert sorted(front) == [index for index in range(len(points)) if not dominated(index)]
    assert [points[index] for index in front] == sorted(points[index] for index in front)
