"""The lines of a process that waits for another: who holds the lock, and since when."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.store.holders import described
from bench.store.locks import locked

HOLD = """
import sys, time
from pathlib import Path
from bench.store.locks import locked
with locked(Path(sys.argv[1]), "x"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_waiting_process_says_who_holds_the_lock_and_since_when(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bench")
    lock = tmp_path / "sub" / "a.lock"
    process = holder(lock)
    release = subprocess.Popen(["sh", "-c", f"sleep 0.6; kill -9 {process.pid}"])
    with locked(lock, "network 1a2b3c4d"):
        process.wait()
    release.wait()
    pattern = rf"waiting for another process \(pid {process.pid}, since [\d -]*\d\d:\d\d\): "
    assert re.fullmatch(pattern + "network 1a2b3c4d", caplog.messages[0])
    assert not list(lock.parent.glob("*.holder"))


def test_a_killed_holder_is_not_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "bench")
    lock, killed = tmp_path / "a.lock", subprocess.Popen(["true"])
    killed.wait()
    process = holder(lock)
    (tmp_path / "a.lock.holder").write_text(
        json.dumps({"pid": killed.pid, "host": platform.node(), "since": 0})
    )
    release = subprocess.Popen(["sh", "-c", f"sleep 0.6; kill -9 {process.pid}"])
    with locked(lock, "network 1a2b3c4d"):
        process.wait()
    release.wait()
    assert caplog.messages == ["waiting for another process: network 1a2b3c4d"]


def test_a_short_wait_is_not_worth_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "bench")
    with locked(tmp_path / "a.lock", "x"), locked(tmp_path / "b.lock", "x"):
        assert described(tmp_path / "a.lock.holder") is not None
    assert caplog.messages == []
