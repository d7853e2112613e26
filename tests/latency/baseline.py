"""What this machine measured before: where it lies, and which figure a test is compared with."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from bench.machine.devices import device_name

REGRESSED = "regressed_"


def machine_folder(device: torch.device) -> str:
    """A folder name for runs that may be compared: host, device and threads.

    pytest-benchmark's own name for a machine is system and Python version, which a laptop shares
    with a server.
    """
    name = f"{platform.node()}-{device_name(device)}-{torch.get_num_threads()}-threads"
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def last_of_each(runs: Iterable[tuple[Path, Mapping[str, Any]]]) -> dict[Path, dict[str, Any]]:
    """Of stored runs, oldest first, the last figure of each test: by file, by test.

    The last file alone would do only if every run held every test: one restricted with `-k` does
    not.
    """
    newest: dict[str, tuple[Path, Any]] = {}
    for path, run in runs:
        newest.update({test["fullname"]: (path, test) for test in run["benchmarks"]})
    chosen: dict[Path, dict[str, Any]] = {}
    for fullname, (path, test) in newest.items():
        chosen.setdefault(path, {})[fullname] = test
    return chosen


def set_aside(run: Path) -> Path:
    """Rename a stored run so that no later one is compared with it; it stays readable."""
    return run.rename(run.with_name(REGRESSED + run.name))


def share_of_a_core(seconds: float = 0.2) -> float:
    """The share of a core that this process gets while it never pauses; 1 on an idle machine."""
    begin, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < seconds:
        pass
    return min(1.0, (time.process_time() - used) / (time.perf_counter() - begin))
