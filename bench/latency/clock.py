"""Timing inference: warm up until stable, then synchronise, one call, synchronise; raw samples
kept.

`timer` is the clock for pytest-benchmark too: `--benchmark-timer=bench.latency.clock.timer`.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from bench.analysis.metrics import clocks_apart
from bench.latency.settings import LatencySettings
from bench.records.timing import Samples

_LEAST_CALLS = 3
_STEADY = 0.1
_LATEST = 3


def timer() -> float:
    """Seconds on a monotonic clock, read once all work queued on the GPU (if one is in use) is done."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(call: Callable[[], object], settings: LatencySettings, device: torch.device) -> Samples:
    """Seconds of each counted call; nothing else may run on the device meanwhile.

    Args:
        call: what is timed.
        settings: how long and how often.
        device: on which it runs; on CUDA each call also lies between two events.
    """
    seconds: list[float] = []
    device_seconds: list[float] = []
    clock = _Events() if device.type == "cuda" else None
    with _garbage_collection_paused():
        warmup, stable = _warm_up(call, settings)
        memory = _PeakMemory(device)
        begin = timer()
        while not _enough(len(seconds), timer() - begin, settings):
            start = timer()
            if clock:
                clock.start()
            call()
            if clock:
                clock.stop()
            seconds.append(timer() - start)
            if clock:
                device_seconds.append(clock.seconds())
        peak = memory.peak()
    return Samples(tuple(seconds), tuple(device_seconds), warmup, stable, peak, memory.before)


def clocks_disagree(samples: Samples) -> bool:
    """Whether the medians of the host's clock and of the CUDA events are further apart than starting a call takes."""
    if not samples.device_seconds:
        return False
    host, device = statistics.median(samples.seconds), statistics.median(samples.device_seconds)
    return clocks_apart(host, device)


def _warm_up(call: Callable[[], object], settings: LatencySettings) -> tuple[int, bool]:
    """Call until the latest calls took the same time.

    How many calls that were, and whether it came to that.
    """
    seconds: list[float] = []
    begin = timer()
    while True:
        start = timer()
        call()
        seconds.append(timer() - start)
        latest = seconds[-_LATEST:]
        stable = len(latest) > 1 and max(latest) - min(latest) <= _STEADY * statistics.median(
            latest
        )
        over = len(seconds) >= settings.max_warmup or timer() - begin >= settings.max_seconds
        if len(seconds) >= settings.warmup and (stable or over):
            return len(seconds), stable


def _enough(calls: int, elapsed: float, settings: LatencySettings) -> bool:
    if calls < _LEAST_CALLS:
        return False
    if elapsed >= settings.max_seconds or calls >= settings.max_calls:
        return True
    return calls >= settings.min_calls and elapsed >= settings.min_seconds


class _Events:
    """Two CUDA events around a call; the time between them is read after synchronising."""

    def __init__(self) -> None:
        self._ends = [torch.cuda.Event(enable_timing=True) for _ in range(2)]

    def start(self) -> None:
        """Before the call."""
        self._ends[0].record(torch.cuda.current_stream())

    def stop(self) -> None:
        """After the call."""
        self._ends[1].record(torch.cuda.current_stream())

    def seconds(self) -> float:
        """Between the two; the device is idle by now."""
        return float(self._ends[0].elapsed_time(self._ends[1])) / 1e3


class _PeakMemory:
    """Memory from now on: the CUDA allocator's, or the process's resident set, whose mark Linux
    lets one reset.

    Attributes:
        before: bytes at the start; None where they cannot be read.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.before: int | None = torch.cuda.memory_allocated(device)
        else:
            self._reset = _reset_high_water_mark()
            self.before = _resident("VmRSS")

    def peak(self) -> int | None:
        """Bytes at the most since the start."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        return _resident("VmHWM") if self._reset else None


def _reset_high_water_mark() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _resident(field: str) -> int | None:
    """Bytes of a field of /proc/self/status; None where there is no such file."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None


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
