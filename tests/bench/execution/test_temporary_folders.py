"""Folders of processes that may be killed: those of dead ones go, all others stay."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bench.execution.temporary_folders import new_folder, remove_folders


def test_folders_of_ended_processes_are_removed(tmp_path: Path) -> None:
    program = "import sys; from bench.execution.temporary_folders import new_folder; "
    program += "from pathlib import Path; print(new_folder('test', Path(sys.argv[1])))"
    command = [sys.executable, "-c", program, str(tmp_path)]
    dead = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    assert dead.is_dir()

    mine = new_folder("test", tmp_path)
    strangers = [tmp_path / name for name in ("test-00000000-1-a", "other", dead.name[1:])]
    for folder in strangers:
        folder.mkdir()
    new_folder("test", tmp_path)
    assert not dead.exists()
    assert all(folder.is_dir() for folder in (mine, *strangers))
    assert f"-{os.getpid()}-" in mine.name


def test_marked_folders_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    marked, other, elsewhere = new_folder("test"), new_folder("test"), new_folder("other")
    for folder in (marked, elsewhere):
        (folder / "mark").touch()
    remove_folders("test", "mark")
    assert {path for path in (marked, other, elsewhere) if path.exists()} == {other, elsewhere}
