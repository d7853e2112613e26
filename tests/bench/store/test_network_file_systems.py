"""The cache where locks do not work, as on some network file systems: work twice, numbers right."""

from __future__ import annotations

import errno
import fcntl
import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import StorageError
from bench.store import artifacts
from bench.store.artifacts import ArtifactStore, read_artifact
from bench.store.keys import artifact_key
from bench.store.locks import locked

IDENTITY = {"of": "a test"}
KEY = artifact_key("network", IDENTITY)


def refusing(number: int) -> Any:
    def flock(*_: object) -> None:
        raise OSError(number, "refused")

    return flock


def test_a_file_system_without_locks_has_markers_in_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOSYS))
    with locked(tmp_path / "x.lock", "a test"):
        assert (tmp_path / "x.lock").exists()
    with locked(tmp_path / "x.lock", "a test"):
        pass


def test_a_file_system_that_refuses_locks_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    with (
        pytest.raises(StorageError, match=r"cannot lock .*x\.lock: refused"),
        locked(tmp_path / "x.lock", "a test"),
    ):
        pass


def test_two_processes_without_locks_leave_one_whole_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(artifacts, "locked", lambda *_: nullcontext())
    first, second = ArtifactStore(tmp_path), ArtifactStore(tmp_path)
    made = []

    def make() -> tuple[Any, Any]:
        made.append(1)
        if len(made) == 1:  # the other process starts and ends in the middle
            second.get_or_make("network", KEY, make)
        return {"weights": np.arange(4.0)}, {"identity": IDENTITY}

    artifact, was_stored = first.get_or_make("network", KEY, make)
    assert (len(made), was_stored) == (2, False)
    assert read_artifact(first.path("network", KEY)).digest == artifact.digest
    assert not caplog.records


def test_the_same_content_gives_the_same_file(tmp_path: Path) -> None:
    tensors = {name: np.arange(3.0) for name in "cab"}
    files = []
    for index in range(20):
        path = tmp_path / f"{index}.safetensors"
        artifacts.write_artifact(path, tensors, {"identity": IDENTITY, "title": "ä" * index})
        files.append(path)
        artifacts.write_artifact(tmp_path / "again.safetensors", tensors, read_artifact(path).meta)
        assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert len({path.read_bytes() for path in files}) == 20
