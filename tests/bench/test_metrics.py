"""Derived numbers against closed forms and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics import accuracy, latency_summary


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
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_a_published_interval() -> None:
    """Newcombe 1998 (Statistics in Medicine 17, table I, method 3): 81 of 263 is 0.2553 to 0.3662."""
    found = accuracy(np.array([0] * 81 + [1] * 182), np.zeros(263))
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


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
