"""Files are read again only where they have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.store.remembered import Remembered


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    remembered = Remembered[str]()
    reads = []

    def read() -> str:
        reads.append(path.read_text())
        return reads[-1]

    path.write_text("one")
    assert [remembered.of(path, read) for _ in range(3)] == ["one"] * 3
    path.write_text("other")
    assert [remembered.of(path, read) for _ in range(3)] == ["other"] * 3
    assert reads == ["one", "other"]

    path.unlink()
    with pytest.raises(FileNotFoundError):
        remembered.of(path, read)


def test_a_file_that_could_not_be_read_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    remembered = Remembered[str]()

    def fails() -> str:
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        remembered.of(path, fails)
    assert remembered.of(path, path.read_text) == "text"
