"""A device that one process times on is used by no other."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bench.machine.device_lock import exclusive_use, shared_use

HOLD = """
import sys, time, torch
from bench.machine.device_lock import exclusive_use, shared_use
with {how}(torch.device("cpu")):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def holder(how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD.format(how=how)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    return other


@pytest.mark.parametrize(
    ("other", "own"),
    [
        ("shared_use", exclusive_use),
        ("exclusive_use", shared_use),
        ("exclusive_use", exclusive_use),
    ],
)
def test_one_waits_for_the_other_to_end(
    other: str, own: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bench")
    process = holder(other)
    start = time.perf_counter()
    timer = subprocess.Popen(
        ["sh", "-c", f"sleep 1.5; kill -9 {process.pid}"]
    )  # a killed holder lets go
    with own(torch.device("cpu")):  # type: ignore[operator]
        assert time.perf_counter() - start > 1
    process.wait()
    timer.wait()
    assert f"waiting for another process (pid {process.pid}, since " in caplog.text


def test_workers_share_a_device_and_other_devices_are_free() -> None:
    process = holder("shared_use")
    start = time.perf_counter()
    with shared_use(torch.device("cpu")), exclusive_use(torch.device("cuda:0")):
        pass
    assert time.perf_counter() - start < 1
    process.communicate("")


def test_each_of_several_users_of_a_device_is_named(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO", "bench")
    processes = [holder("shared_use"), holder("shared_use")]
    killed = subprocess.Popen(["true"])
    killed.wait()
    stale = tmp_path / "purification-bench" / f"cpu.db.{killed.pid}-0.holder"
    stale.write_text(f'{{"pid": {killed.pid}, "host": "{platform.node()}", "since": 0}}')
    numbers = " ".join(str(process.pid) for process in processes)
    timer = subprocess.Popen(["sh", "-c", f"sleep 0.7; kill -9 {numbers}"])
    with exclusive_use(torch.device("cpu")):
        (note,) = tmp_path.rglob("*.holder")  # those of killed processes are gone
    timer.wait()
    for process in processes:
        process.wait()
        assert f"pid {process.pid}, since " in caplog.text
    assert f"pid {killed.pid}," not in caplog.text
    assert not note.exists()
