"""Derived numbers against closed forms and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from bench.metrics import accuracy, latency_summary, minimum_distance_median, share


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
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_published_intervals(k: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3."""
    found = share(np.arange(n) < k)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_draws_give_mean_and_worst() -> None:
    found = accuracy(np.array([[0, 0, 1, 1], [0, 1, 0, 1]]), np.zeros(4))
    assert (found.value, found.worst) == (0.5, 0.25)
    assert found.low == pytest.approx(wilson(2, 4)[0])


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
