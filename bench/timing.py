"""Timing inference: warm up, synchronise, one call, synchronise; raw samples kept.

`timer` is the clock for pytest-benchmark too: `--benchmark-timer=bench.timing.timer`.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from bench.config import LatencyConfig

_LEAST_CALLS = 3


def timer() -> float:
    """Seconds on a monotonic clock, read once all work queued on the GPU (if one is in use) is done."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(call: Callable[[], object], settings: LatencyConfig) -> tuple[float, ...]:
    """Seconds of each counted call; nothing else may run on the device meanwhile.

    Args:
        call: what is timed.
        settings: how long and how often.
    """
    for _ in range(settings.warmup):
        call()
    seconds: list[float] = []
    with _garbage_collection_paused():
        begin = timer()
        while not _enough(len(seconds), timer() - begin, settings):
            start = timer()
            call()
            seconds.append(timer() - start)
    return tuple(seconds)


def _enough(calls: int, elapsed: float, settings: LatencyConfig) -> bool:
    if calls < _LEAST_CALLS:
        return False
    if elapsed >= settings.max_seconds or calls >= settings.max_calls:
        return True
    return calls >= settings.min_calls and elapsed >= settings.min_seconds


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
