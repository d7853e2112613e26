"""The conditions of a measurement: threads, clock, and the load of other processes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bench.machine.devices import nvidia_smi

_SHORTEST = 0.2
"""Shortest measurement in seconds whose load is reported; the system counts in hundredths."""


class ProcessorTime(NamedTuple):
    """Processor time up to a moment, in seconds.

    Attributes:
        own: time of this process.
        total: time of all processes and of interrupts, and time that the host of a virtual machine
            took.
        moment: the moment, on a monotonic clock.
    """

    own: float
    total: float
    moment: float


class ConditionsMonitor:
    """Observes the conditions of a measurement, from its construction until `conditions`."""

    def __init__(self, device: torch.device) -> None:
        self._clock = clock_mhz(device)
        self._start = self._processor_time()

    def conditions(self) -> dict[str, Any]:
        """Number of threads, clock in MHz at the start, and mean number of cores busy elsewhere.

        A core is busy elsewhere if another process uses it, or if the host takes it from a virtual
        machine. A value that the system does not report is None.
        """
        return {
            "threads": torch.get_num_threads(),
            "clock_mhz": self._clock,
            "busy_elsewhere": self._busy_elsewhere(),
        }

    def _busy_elsewhere(self) -> float | None:
        start, end = self._start, self._processor_time()
        if start is None or end is None:
            return None

        seconds = end.moment - start.moment
        others = (end.total - start.total) - (end.own - start.own)

        return round(max(0.0, others) / seconds, 2) if seconds >= _SHORTEST else None

    @staticmethod
    def _processor_time() -> ProcessorTime | None:
        """Processor time up to now; None where the system does not report it."""
        try:
            fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        except OSError:
            return None

        # The last of these eight fields is the time that the host of a virtual machine took.
        user, nice, system, _idle, _waiting, *interrupts = (int(field) for field in fields[:8])
        ticks = user + nice + system + sum(interrupts)

        return ProcessorTime(
            time.process_time(), ticks / os.sysconf("SC_CLK_TCK"), time.perf_counter()
        )


def clock_mhz(device: torch.device) -> float | None:
    """The present clock in MHz: that of the GPU's multiprocessors, or the mean of the CPU's cores.

    None where the system does not report it.
    """
    if device.type == "cuda":
        reported = nvidia_smi(device, "clocks.sm")
        is_number = reported is not None and reported.replace(".", "", 1).isdigit()
        return float(reported) if reported is not None and is_number else None

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    clocks = [float(line.split(":", 1)[1]) for line in lines if line.startswith("cpu MHz")]

    return round(sum(clocks) / len(clocks), 1) if clocks else None
