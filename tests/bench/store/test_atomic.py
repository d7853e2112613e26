"""Temporary files: those of killed processes are swept, those that are written now never."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import StorageError
from bench.store import atomic

KILLED = """
import os, signal, sys
from pathlib import Path
from bench.store import atomic
os.fsync = lambda _: os.kill(os.getpid(), signal.{signal})
atomic.write_bytes(Path(sys.argv[1]), b"half")
"""

OLD_NAMES = [".a.json.ab12cd34.partial", ".config.json.ab12.partial", ".a.1.partial"]
"""Names of temporary files as release 0.1.0 made them."""


def partials(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if atomic.is_partial(path))


def killed_writer(path: Path, how: str = "SIGKILL") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", KILLED.format(signal=how), str(path)])


def wait_until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize("moment", [0, 1, 4e9], ids=["1970", "a second later", "2096"])
@pytest.mark.parametrize("name", ["a.json", "é" * 60, "0123456789abcdef" * 4 + ".safetensors"])
def test_a_file_that_is_written_now_is_never_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: float, name: str
) -> None:
    """Whatever the clocks of the writer, of the sweeping process and of the file system say."""
    swept = []

    def sweep(_: int) -> None:
        (partial,) = partials(tmp_path)
        os.utime(tmp_path / partial, (moment, moment))
        monkeypatch.setattr(time, "time", lambda: 5e9)
        monkeypatch.setattr(atomic, "_ABANDONED", -1e12)
        atomic.sweep_partials(tmp_path)
        swept.append(partials(tmp_path) == [partial])

    monkeypatch.setattr(os, "fsync", sweep)
    atomic.write_bytes(tmp_path / name, b"whole")
    assert swept == [True]
    assert (tmp_path / name).read_bytes() == b"whole"
    assert partials(tmp_path) == []


def test_a_file_of_a_live_process_stays_and_that_of_a_killed_one_goes_at_once(
    tmp_path: Path,
) -> None:
    writer = killed_writer(tmp_path / "a.json", "SIGSTOP")
    wait_until(lambda: partials(tmp_path) and os.waitpid(writer.pid, os.WUNTRACED | os.WNOHANG)[0])
    for moment in (0, 4e9):
        os.utime(tmp_path / partials(tmp_path)[0], (moment, moment))
        atomic.sweep_partials(tmp_path)
        assert len(partials(tmp_path)) == 1

    os.kill(writer.pid, signal.SIGKILL)
    os.waitpid(writer.pid, 0)
    atomic.sweep_partials(tmp_path)
    assert partials(tmp_path) == []


def test_many_killed_writers_leave_nothing_and_harm_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    for writer in [killed_writer(tmp_path / "sub" / "a.json") for _ in range(3)]:
        writer.wait()
    assert len(partials(tmp_path)) == 3
    atomic.sweep_partials(tmp_path)
    assert partials(tmp_path) == []
    assert (tmp_path / "a.json").exists()


def test_a_file_that_is_swept_before_its_writer_locks_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, swept = atomic._lock, []

    def sweep_first(descriptor: int, *, wait: bool) -> bool:
        if wait and len(swept) < 3:
            swept.append(partials(tmp_path))
            atomic.sweep_partials(tmp_path)
        return lock(descriptor, wait=wait)

    monkeypatch.setattr(atomic, "_lock", sweep_first)
    atomic.write_bytes(tmp_path / "a", b"whole")
    assert [len(names) for names in swept] == [1, 1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"whole"


@pytest.mark.parametrize("name", [*OLD_NAMES, ".a.locked-00000000.ab12cd34.partial"])
def test_where_a_lock_says_nothing_a_file_stays_for_a_day(tmp_path: Path, name: str) -> None:
    """Files of release 0.1.0, and those of another host."""
    path = tmp_path / name
    path.write_text("")
    atomic.sweep_partials(tmp_path)
    assert path.exists()
    os.utime(path, (time.time() - 90_000,) * 2)
    atomic.sweep_partials(tmp_path)
    assert not path.exists()


def test_without_locks_the_clock_of_the_file_system_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    monkeypatch.setattr(time, "time", lambda: 5e9)  # the clock of this process is ahead
    monkeypatch.setattr(os, "fsync", lambda _: atomic.sweep_partials(tmp_path))
    atomic.write_bytes(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"

    killed_writer(tmp_path / "b").wait()
    (name,) = partials(tmp_path)
    os.utime(tmp_path / name, (0, 0))
    atomic.sweep_partials(tmp_path)
    assert partials(tmp_path) == []


def test_without_any_locks_of_the_system_files_are_written_and_swept_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "fcntl", None)
    atomic.write_bytes(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_the_sweep_follows_no_link_and_waits_for_no_pipe(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (outside / OLD_NAMES[0]).write_text("")
    os.utime(outside / OLD_NAMES[0], (0, 0))
    (folder / "linked").symlink_to(outside)
    (folder / OLD_NAMES[1]).symlink_to(outside / OLD_NAMES[0])
    os.mkfifo(folder / OLD_NAMES[2])
    atomic.sweep_partials(folder)
    assert (outside / OLD_NAMES[0]).exists()


def test_a_folder_that_is_not_there_is_swept(tmp_path: Path) -> None:
    atomic.sweep_partials(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_earlier_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a"
    atomic.write_bytes(path, b"first")
    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), full)
    with pytest.raises(StorageError, match="what was written before is intact"):
        atomic.write_bytes(path, b"second")
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
