"""Files that appear late."""

from __future__ import annotations

import threading
from pathlib import Path

from bench.store.seen import is_seen


def test_a_file_that_appears_late_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"  # whose folder is not there yet, either

    def write() -> None:
        path.parent.mkdir()
        path.touch()

    timer = threading.Timer(0.2, write)
    timer.start()
    assert is_seen(path, 60)
    timer.join()
    assert is_seen(path, 0)


def test_a_file_that_never_appears_is_given_up(tmp_path: Path) -> None:
    assert not is_seen(tmp_path / "file", 0)
