"""`bench run --executor ray` as a process: its end by a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

pytest.importorskip("ray", reason="the extra purification-bench[ray] is not installed")

WAITING = """
import os
import time
from dataclasses import dataclass
from pathlib import Path

from bench.contracts import Defense
from bench.registry import register_defense
from torch import nn


@register_defense("ray_endless")
@dataclass(frozen=True)
class Endless(Defense):
    '''Trains without end.'''

    folder: str = ""

    def build(self, data):
        return nn.Conv2d(data.shape[0], data.shape[0], 1)

    def fit(self, module, context):
        Path(self.folder, "pid").write_text(str(os.getpid()))
        time.sleep(600)
"""
Start = Callable[..., subprocess.Popen[str]]


def processes_of(folder: Path) -> list[str]:
    """The processes that have a folder in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended, or is another user's
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
def test_a_termination_ends_the_run_and_its_processes(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    tiny: Path,
    bench_process: Start,
) -> None:
    plugin = tmp_path / "ray_endless.py"
    plugin.write_text(WAITING)
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / "ray.lock"):
        process = bench_process(
            *("run", "--config", tiny, "--plugin", plugin, "--executor", "ray:processes=1"),
            *("--defenses", f"ray_endless:folder=[{tmp_path}]", "--no-latency", "--out", "out"),
            BENCH_CACHE=str(tmp_path / "cache"),
        )
        end = time.monotonic() + 300  # on a busy machine Ray takes long to start
        while not (tmp_path / "pid").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)  # whose handler Ray replaces when it starts
        _, err = process.communicate(timeout=120)

    assert process.returncode == 130, err
    assert "to continue, run the same command again: bench run" in err
    end = time.monotonic() + 20
    while processes_of(tmp_path) and time.monotonic() < end:
        time.sleep(0.1)
    assert processes_of(tmp_path) == []
    assert not list((tmp_path / "cache").rglob("*.partial"))
