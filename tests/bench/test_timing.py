"""The clock and the protocol."""

from __future__ import annotations

import gc
import time

from bench.config import LatencyConfig
from bench.timing import measure, timer


def settings(**changes: float) -> LatencyConfig:
    return LatencyConfig.model_validate({"warmup": 2, "min_calls": 5, "min_seconds": 1e-9, "max_seconds": 5, **changes})


def test_a_sleep_is_measured() -> None:
    seconds = measure(lambda: time.sleep(0.01), settings())
    assert len(seconds) == 5
    assert all(0.0099 < value < 0.1 for value in seconds)


def test_warm_up_calls_do_not_count() -> None:
    calls = []
    assert len(measure(lambda: calls.append(1), settings())) == len(calls) - 2


def test_it_goes_on_for_the_stated_time() -> None:
    seconds = measure(lambda: time.sleep(0.002), settings(min_seconds=0.1))
    assert sum(seconds) > 0.09
    assert len(seconds) > 5


def test_it_stops_in_time_but_counts_three_calls() -> None:
    assert len(measure(lambda: time.sleep(0.02), settings(max_seconds=0.01, min_calls=1000))) == 3


def test_the_garbage_collector_rests_meanwhile_and_runs_after() -> None:
    seen: list[bool] = []
    measure(lambda: seen.append(gc.isenabled()), settings(warmup=1))
    assert not any(seen[1:])
    assert gc.isenabled()


def test_the_timer_is_monotonic_seconds() -> None:
    start = timer()
    time.sleep(0.01)
    assert 0.0099 < timer() - start < 0.1


def test_calls_are_counted_up_to_a_maximum() -> None:
    settings = LatencyConfig(warmup=1, min_calls=3, min_seconds=60, max_seconds=60, max_calls=7)
    assert len(measure(lambda: None, settings)) == 7
