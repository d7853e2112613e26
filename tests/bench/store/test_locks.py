"""The lines of a process that waits for another: who holds the lock, and since when."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.store.holders import described, noted
from bench.store.locks import locked
from bench.text import one_line

HOLD = """
import sys, time
from pathlib import Path
from bench.store.locks import locked
with locked(Path(sys.argv[1]), "x"):
    print("held", flush=True)
    sys.stdin.readline()
"""

NOW = 1_700_000_000.0

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def holder(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def write_note(path: Path, **changes: Any) -> None:
    note = {"pid": os.getpid(), "host": platform.node(), "since": time.time(), **changes}
    path.write_text(json.dumps(note))


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
    write_note(tmp_path / "a.lock.holder", pid=killed.pid)
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


def test_a_holder_on_another_host_is_named_with_its_host(tmp_path: Path) -> None:
    note = tmp_path / "note"
    write_note(note, pid=2**22 + 1, host="node\x1b[31m7", since=NOW)
    text = described(note)
    assert text is not None
    assert re.fullmatch(r"pid 4194305 on node7, since 2023-11-1\d \d\d:\d\d", text)


@given(content=values | st.fixed_dictionaries({"pid": values, "host": values, "since": values}))
def test_whatever_a_note_holds_the_line_is_clean(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    note = tmp_path_factory.getbasetemp() / "note.holder"
    note.write_text(json.dumps(content))
    text = described(note)
    assert text is None or text == one_line(text, 200)


def test_a_note_that_is_no_file_or_endless_is_none(tmp_path: Path) -> None:
    note = tmp_path / "note"
    assert described(note) is None
    os.mkfifo(note)
    assert described(note) is None
    note.unlink()
    note.write_text(" " * 10_000)
    assert described(note) is None
    assert described(Path("/dev/zero")) is None


def test_a_note_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "note").symlink_to(tmp_path / "precious")
    with noted(tmp_path / "note"):
        assert described(tmp_path / "note") is not None
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_note_that_cannot_be_written_holds_up_nothing(tmp_path: Path) -> None:
    with noted(tmp_path / "absent" / "note"):
        pass
    (tmp_path / "folder").mkdir()
    with noted(tmp_path / "folder"):
        pass
