"""Files are read again only where they have changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.store import remembered as remembered_module
from bench.store.artifacts import ArtifactStore, digest_of, write_artifact
from bench.store.keys import artifact_key
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


def test_a_change_that_no_state_shows_never_gives_another_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one in place does within a tick of the clock, or one by another machine."""
    monkeypatch.setattr(remembered_module, "state_of", lambda _path: (0, 0, 0, 0))
    store = ArtifactStore(tmp_path)
    identity = {"seed": 0}
    key = artifact_key("network", identity)
    contents = [({"weight": np.full(3, value)}, {"identity": identity}) for value in (1.0, 2.0)]

    first, _ = store.get_or_make("network", key, lambda: contents[0])
    assert store.digest("network", key) == first.digest
    write_artifact(store.path("network", key), *contents[1])

    assert store.digest("network", key) == first.digest  # unseen, so what refers to it is refused
    loaded = store.load("network", key)
    assert loaded is not None
    assert loaded.digest == digest_of(contents[1][0]) != first.digest
