"""Folders of processes that may be killed: those of dead ones go, all others stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.execution.temporary_folders import new_folder


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
