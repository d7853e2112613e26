"""The lock of a device lies where no other user can block it, and every user has a place for it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import torch

from bench.machine import lock_folders
from bench.machine.device_lock import exclusive_use


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime folder, a home and a folder of temporary files of the test's own."""
    for name in ("runtime", "home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path


def first() -> Path:
    return next(lock_folders.lock_folders())


def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_folders, "user_cache", lambda: None)


def private(folders: Path, number: str = "") -> Path:
    return folders / "temporary" / f"purification-bench-{os.geteuid()}{number}"


def test_the_runtime_folder_is_the_first_choice(folders: Path) -> None:
    assert first() == folders / "runtime" / "purification-bench"
    assert first().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("value", ["", "relative", "/nonexistent/run", "/dev/null"])
def test_without_a_runtime_folder_the_cache_is_next(
    folders: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    assert first().parent == folders / "home" / ".cache" / "purification-bench" / "locks"
    assert first() == first()


def test_machines_that_share_a_home_folder_have_locks_of_their_own(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    found = []
    for boot in ("one", "another"):
        (folders / boot).write_text(boot)
        monkeypatch.setattr(lock_folders, "_BOOT", folders / boot)
        found.append(first())
    monkeypatch.setattr(lock_folders, "_BOOT", folders / "absent")  # not Linux
    for name in ("host", "host", "other-host"):
        monkeypatch.setattr(lock_folders.platform, "node", lambda name=name: name)
        found.append(first())
    assert found[2] == found[3]
    assert len(set(found)) == 4


def test_a_runtime_folder_of_another_user_is_not_used(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    (last,) = list(lock_folders.lock_folders())  # nothing here is that user's
    assert last.parent == folders / "temporary"
    assert last.stat().st_mode & 0o777 == 0o700


def test_without_either_a_private_temporary_folder_is_found_again(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    no_home(monkeypatch)
    assert first() == first() == private(folders)


@pytest.mark.parametrize("kind", ["file", "link", "open to others", "dangling link"])
def test_a_name_that_is_taken_is_passed_over(
    folders: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    no_home(monkeypatch)
    taken = private(folders)
    if kind == "file":
        taken.write_text("")
    elif kind == "open to others":
        taken.mkdir()
        taken.chmod(0o777)
    else:
        taken.symlink_to(folders / ("home" if kind == "link" else "absent"))
    assert first() == private(folders, "-1")


def test_a_folder_without_working_locks_is_passed_over(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in the place of the lock's file stands for a file system without locks."""
    (folders / "runtime" / "purification-bench" / "cpu.db").mkdir(parents=True, mode=0o700)
    (folders / "runtime" / "purification-bench").chmod(0o700)
    with exclusive_use(torch.device("cpu")):
        pass
    locks = folders / "home" / ".cache" / "purification-bench" / "locks"
    assert [path.name for path in locks.glob("*/cpu.db")] == ["cpu.db"]
