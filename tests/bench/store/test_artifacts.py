"""The cache: verified, atomic, shared."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench.errors import RequestError, StorageError
from bench.store import atomic
from bench.store.artifacts import ArtifactStore, digest_of, read_artifact, write_artifact

KEY = "0" * 64
TENSORS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7)}
arrays = hnp.arrays(
    st.sampled_from(["<f4", "<i8", "|b1"]), hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)
)


@settings(max_examples=30)
@given(st.dictionaries(st.text("abc.", min_size=1, max_size=5), arrays, max_size=3))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, np.ndarray]
) -> None:
    path = tmp_path_factory.mktemp("artifact") / "a.safetensors"
    written = write_artifact(path, tensors, {"title": "x"})
    read = read_artifact(path)
    assert read.digest == written.digest == digest_of(tensors)
    assert read.meta == {"title": "x"}
    assert set(read.tensors) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(read.tensors[name], array)
        assert read.tensors[name].shape == array.shape


def test_the_digest_is_of_the_tensors_alone() -> None:
    assert digest_of(TENSORS) == digest_of(dict(reversed(TENSORS.items())))
    assert digest_of(TENSORS) != digest_of({**TENSORS, "steps": np.array(8)})
    assert digest_of({"a": np.zeros((2, 3))}) != digest_of({"a": np.zeros((3, 2))})


def _damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _damage_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


def _damage_description(path: Path) -> None:
    content = path.read_bytes()
    assert b"honest" in content
    path.write_bytes(content.replace(b"honest", b"forged"))


def _damage_pickle(path: Path) -> None:
    import pickle

    path.write_bytes(pickle.dumps({"weight": 1}))


@pytest.mark.parametrize(
    "damage", [_damage_truncate, _damage_byte, _damage_description, _damage_pickle]
)
def test_a_damaged_artifact_is_reported_and_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage
) -> None:  # type: ignore[no-untyped-def]
    store = ArtifactStore(tmp_path)
    store.get_or_make("network", KEY, lambda: (TENSORS, {"title": "honest"}))
    damage(store.path("network", KEY))
    with caplog.at_level(logging.WARNING, logger="bench"):
        artifact, cached = store.get_or_make("network", KEY, lambda: (TENSORS, {"title": "honest"}))
    assert not cached
    assert artifact.digest == digest_of(TENSORS)
    assert "damaged artifact" in caplog.text
    assert store.get_or_make("network", KEY, lambda: pytest.fail("made twice"))[1]


def test_a_failing_maker_leaves_nothing_behind(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    with pytest.raises(ZeroDivisionError):
        store.get_or_make("network", KEY, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert store.load("network", KEY) is None
    assert not list(tmp_path.rglob("*.safetensors"))
    store.get_or_make("network", KEY, lambda: (TENSORS, {}))


def _make_slowly(root: Path, made: Path) -> None:
    def make():  # type: ignore[no-untyped-def]
        with made.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.5)
        return TENSORS, {}

    ArtifactStore(root).get_or_make("network", KEY, make)


def test_two_processes_make_an_artifact_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_make_slowly, args=(tmp_path / "cache", tmp_path / "made"))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len((tmp_path / "made").read_text().splitlines()) == 1


def test_a_full_disk_is_one_clear_error_and_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    atomic.write_json(path, {"x": 1})

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot write .*a\.json: No space left on device"):
        atomic.write_json(path, {"x": 2})
    assert path.read_text() == '{\n  "x": 1\n}\n'
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        atomic.write_json(tmp_path / "a.json", {"x": float("nan")})


def test_old_partial_files_are_swept_and_young_ones_kept(tmp_path: Path) -> None:
    old, young = tmp_path / ".a.1.partial", tmp_path / ".a.2.partial"
    for path in (old, young):
        path.write_text("")
    os.utime(old, (0, 0))
    ArtifactStore(tmp_path)
    assert not old.exists()
    assert young.exists()


def test_a_cache_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cache folder"):
        ArtifactStore(tmp_path / "file" / "cache")


def test_a_cache_that_is_not_writable_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RequestError, match="not writable"):
        ArtifactStore(tmp_path)
