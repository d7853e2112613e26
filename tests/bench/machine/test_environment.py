"""What surrounds a measurement."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch

from bench.machine.environment import ConditionsMonitor, clock_mhz

CPU = torch.device("cpu")
BURN = "import time; end = time.monotonic() + 3\nwhile time.monotonic() < end: pass"


def test_what_other_processes_burn_is_seen() -> None:
    others = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(2)]
    time.sleep(0.5)
    watch = ConditionsMonitor(CPU)
    time.sleep(1.5)
    found = watch.conditions()["busy_elsewhere"]
    for each in others:
        each.wait()
    assert found > 0.5


@pytest.mark.parametrize(
    ("end", "found"), [((3.0, 15.0, 2.0), 1.5), ((3.0, 11.0, 2.0), 0.0), ((1.0, 10.0, 0.1), None)]
)
def test_what_this_process_burns_is_not(
    monkeypatch: pytest.MonkeyPatch, end: tuple[float, ...], found: float | None
) -> None:
    """Own seconds, those of all processes, and the time; a moment is too short to tell."""
    ticks = iter([(1.0, 10.0, 0.0), end])
    monkeypatch.setattr(ConditionsMonitor, "_ticks", staticmethod(lambda: next(ticks)))
    assert ConditionsMonitor(CPU).conditions()["busy_elsewhere"] == found


def test_the_clock_is_read_where_the_system_tells_it() -> None:
    found = clock_mhz(CPU)
    assert found is None or 100 < found < 10_000
    assert (ConditionsMonitor(CPU).conditions()["clock_mhz"] is None) == (found is None)
