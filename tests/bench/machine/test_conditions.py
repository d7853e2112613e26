"""The conditions of a measurement."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch

from bench.machine.conditions import ConditionsMonitor, ProcessorTime, clock_mhz

CPU = torch.device("cpu")
BURN = "import time; end = time.monotonic() + 3\nwhile time.monotonic() < end: pass"


def test_what_other_processes_burn_is_seen() -> None:
    others = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(2)]
    time.sleep(0.5)
    monitor = ConditionsMonitor(CPU)
    time.sleep(1.5)
    busy = monitor.conditions()["busy_elsewhere"]
    for process in others:
        process.wait()
    assert busy > 0.5


@pytest.mark.parametrize(
    ("end", "found"), [((3.0, 15.0, 2.0), 1.5), ((3.0, 11.0, 2.0), 0.0), ((1.0, 10.0, 0.1), None)]
)
def test_what_this_process_burns_is_not(
    monkeypatch: pytest.MonkeyPatch, end: tuple[float, ...], found: float | None
) -> None:
    """Seconds of this process, of all processes, and the moment; too short a time gives None."""
    times = iter([ProcessorTime(1.0, 10.0, 0.0), ProcessorTime(*end)])
    monkeypatch.setattr(ConditionsMonitor, "_processor_time", staticmethod(lambda: next(times)))
    assert ConditionsMonitor(CPU).conditions()["busy_elsewhere"] == found


def test_the_clock_is_read_where_the_system_tells_it() -> None:
    found = clock_mhz(CPU)
    assert found is None or 100 < found < 10_000
    assert (ConditionsMonitor(CPU).conditions()["clock_mhz"] is None) == (found is None)
