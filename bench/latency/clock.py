"""The clock: warm-up until calls take the same time, then raw samples of single calls.

The device is synchronized before and after every call. `timer` is also the clock of
pytest-benchmark: `--benchmark-timer=bench.latency.clock.timer`.
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
"""Number of calls that count in any case."""

_STEADY = 0.1
"""Spread of the latest warm-up calls, as a share of their median, below which they are stable."""

_LATEST = 3
"""Number of the latest warm-up calls that are compared."""


def timer() -> float:
    """Seconds on a monotonic clock, read once all work queued on the GPU is done."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(call: Callable[[], object], settings: LatencySettings, device: torch.device) -> Samples:
    """The raw times of a call; nothing else may run on the device in the meantime.

    Args:
        call: function that is timed.
        settings: duration and number of calls.
        device: device the call runs on; on CUDA each call is also timed between two events.
    """
    seconds: list[float] = []
    device_seconds: list[float] = []
    events = _CudaEvents() if device.type == "cuda" else None

    with _garbage_collection_paused():
        warmup, stable = _warm_up(call, settings)
        memory = _PeakMemory(device)

        begin = timer()
        while not _enough(len(seconds), timer() - begin, settings):
            start = timer()
            if events:
                events.start()
            call()
            if events:
                events.stop()
            seconds.append(timer() - start)
            if events:
                device_seconds.append(events.seconds())

        peak = memory.peak()

    return Samples(tuple(seconds), tuple(device_seconds), warmup, stable, peak, memory.before)


def clocks_disagree(samples: Samples) -> bool:
    """Whether the host's clock and CUDA events differ by more than the start of a call takes."""
    if not samples.device_seconds:
        return False

    host = statistics.median(samples.seconds)
    device = statistics.median(samples.device_seconds)

    return clocks_apart(host, device)


def _warm_up(call: Callable[[], object], settings: LatencySettings) -> tuple[int, bool]:
    """Call until the latest calls take the same time (within 10 %).

    Returns:
        number of calls, and whether the latest take the same time.
    """
    seconds: list[float] = []
    begin = timer()

    while True:
        start = timer()
        call()
        seconds.append(timer() - start)

        stable = _is_stable(seconds[-_LATEST:])
        over = len(seconds) >= settings.max_warmup or timer() - begin >= settings.max_seconds
        if len(seconds) >= settings.warmup and (stable or over):
            return len(seconds), stable


def _is_stable(latest: list[float]) -> bool:
    spread = max(latest) - min(latest)
    return len(latest) > 1 and spread <= _STEADY * statistics.median(latest)


def _enough(calls: int, elapsed: float, settings: LatencySettings) -> bool:
    """Whether the measurement is over after these counted calls and seconds."""
    if calls < _LEAST_CALLS:
        return False
    if elapsed >= settings.max_seconds or calls >= settings.max_calls:
        return True
    return calls >= settings.min_calls and elapsed >= settings.min_seconds


class _CudaEvents:
    """Two CUDA events around a call; the time between them is read after synchronizing."""

    def __init__(self) -> None:
        self._before = torch.cuda.Event(enable_timing=True)
        self._after = torch.cuda.Event(enable_timing=True)

    def start(self) -> None:
        """Record the event before the call."""
        self._before.record(torch.cuda.current_stream())

    def stop(self) -> None:
        """Record the event after the call."""
        self._after.record(torch.cuda.current_stream())

    def seconds(self) -> float:
        """Seconds between the two events, once the device is idle."""
        return float(self._before.elapsed_time(self._after)) / 1e3


class _PeakMemory:
    """The largest number of bytes in use from now on.

    On CUDA it is that of the allocator, on the CPU the process's resident set, whose peak Linux
    resets on request.

    Attributes:
        before: bytes in use at the start; None where they cannot be read.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.before: int | None = torch.cuda.memory_allocated(device)
        else:
            self._was_reset = _reset_peak_resident_set()
            self.before = _resident("VmRSS")

    def peak(self) -> int | None:
        """The largest number of bytes in use since the start; None where it cannot be read."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        return _resident("VmHWM") if self._was_reset else None


def _reset_peak_resident_set() -> bool:
    """Reset the process's peak resident set; whether the system allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _resident(field: str) -> int | None:
    """The bytes that a field of /proc/self/status states; None where there is no such file."""
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
