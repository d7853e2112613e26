"""The clock and the protocol."""

from __future__ import annotations

import gc
import itertools
import subprocess
import sys
import time

import pytest
import torch

from bench.latency import clock as clock_module
from bench.latency.clock import clocks_disagree, measure, timer
from bench.latency.settings import LatencySettings
from bench.records.timing import Samples

CPU = torch.device("cpu")


def settings(**changes: float) -> LatencySettings:
    given = {
        "warmup": 2,
        "max_warmup": 2,
        "min_calls": 5,
        "min_seconds": 1e-9,
        "max_seconds": 5,
        **changes,
    }
    return LatencySettings.model_validate(given)


def test_a_sleep_is_measured() -> None:
    seconds = measure(lambda: time.sleep(0.01), settings(), CPU).seconds
    assert len(seconds) == 5
    assert all(0.0099 < value < 0.1 for value in seconds)


def test_warm_up_calls_do_not_count() -> None:
    calls: list[int] = []
    samples = measure(lambda: calls.append(1), settings(), CPU)
    assert (samples.warmup, len(samples.seconds), len(calls)) == (2, 5, 7)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only a test's call moves on."""
    now = [0.0]
    monkeypatch.setattr(clock_module.time, "perf_counter", lambda: now[0])
    return now


def test_the_warm_up_goes_on_until_the_latest_calls_took_the_same_time(clock: list[float]) -> None:
    times = iter([5.0, 3.0, 2.0, 1.0, 1.02, 0.98, *[1.0] * 5])

    def call() -> None:
        clock[0] += next(times)

    samples = measure(call, settings(warmup=1, max_warmup=50, max_seconds=100), CPU)
    assert (samples.warmup, samples.stable) == (6, True)
    assert samples.seconds == pytest.approx((1.0,) * 5)


@pytest.mark.parametrize(
    ("changes", "warmup"),
    [({"max_warmup": 4, "max_seconds": 99}, 4), ({"max_warmup": 50, "max_seconds": 7}, 4)],
)
def test_what_never_gets_stable_is_marked(
    clock: list[float], changes: dict[str, float], warmup: int
) -> None:
    times = itertools.cycle([1.0, 3.0])

    def call() -> None:
        clock[0] += next(times)

    samples = measure(call, settings(**changes), CPU)
    assert (samples.warmup, samples.stable) == (warmup, False)


def test_it_goes_on_for_the_stated_time() -> None:
    seconds = measure(lambda: time.sleep(0.002), settings(min_seconds=0.1), CPU).seconds
    assert sum(seconds) > 0.09
    assert len(seconds) > 5


def test_it_stops_in_time_but_counts_three_calls() -> None:
    slow = settings(max_seconds=0.01, min_calls=1000)
    assert len(measure(lambda: time.sleep(0.02), slow, CPU).seconds) == 3


def test_the_garbage_collector_rests_meanwhile_and_runs_after() -> None:
    seen: list[bool] = []
    measure(lambda: seen.append(gc.isenabled()), settings(), CPU)
    assert not any(seen)
    assert gc.isenabled()


def test_the_timer_is_monotonic_seconds() -> None:
    start = timer()
    time.sleep(0.01)
    assert 0.0099 < timer() - start < 0.1


def test_calls_are_counted_up_to_a_maximum() -> None:
    endless = settings(min_seconds=60, max_seconds=60, max_calls=7)
    assert len(measure(lambda: None, endless, CPU).seconds) == 7


MEASURED = """
import torch
from bench.latency.clock import measure
from bench.latency.settings import LatencySettings

settings = LatencySettings(
    warmup=2, max_warmup=2, min_calls=5, min_seconds=1e-9, max_seconds=5
)
samples = measure(lambda: torch.ones(40 * 2**20 // 4).sum(), settings, torch.device("cpu"))
if samples.peak_memory is not None and samples.memory_before is not None:
    print(samples.peak_memory - samples.memory_before)
"""


def test_peak_memory_sees_what_a_call_takes_for_a_moment() -> None:
    # A process of its own: one with a history takes the memory from what it has freed.
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True
    )
    if not done.stdout:
        pytest.skip("this system does not tell the resident set")
    assert 35 * 2**20 < int(done.stdout) < 150 * 2**20


@pytest.mark.parametrize(
    ("host", "device", "apart"),
    [(1e-2, 9.5e-3, False), (1e-2, 5e-3, True), (1e-4, 6e-5, False), (1e-2, 2e-2, True)],
)
def test_clocks_that_disagree_are_found(host: float, device: float, apart: bool) -> None:
    samples = Samples((host,) * 3, (device,) * 3, 1, True, None, None)
    assert clocks_disagree(samples) is apart


def test_without_events_no_clocks_disagree() -> None:
    assert not clocks_disagree(Samples((1.0,), (), 1, True, None, None))
