"""The cache: verified, atomic, shared."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench.errors import RequestError, StorageError
from bench.store.artifacts import ArtifactStore, digest_of, read_artifact, write_artifact
from bench.store.keys import artifact_key

HONEST = {"name": "honest"}
META = {"identity": HONEST}
KEY = artifact_key("network", HONEST)
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
    store.get_or_make("network", KEY, lambda: (TENSORS, META))
    damage(store.path("network", KEY))
    with caplog.at_level(logging.WARNING, logger="bench"):
        artifact, cached = store.get_or_make("network", KEY, lambda: (TENSORS, META))
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
    store.get_or_make("network", KEY, lambda: (TENSORS, META))


def _make_slowly(root: Path, made: Path) -> None:
    def make():  # type: ignore[no-untyped-def]
        with made.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.5)
        return TENSORS, META

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


def test_a_cache_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cache folder"):
        ArtifactStore(tmp_path / "file" / "cache")


def _no_access(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)


def test_a_cache_that_is_not_writable_serves_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ArtifactStore(tmp_path).get_or_make("network", KEY, lambda: (TENSORS, META))
    before = sorted(tmp_path.rglob("*"))
    _no_access(monkeypatch)
    store = ArtifactStore(tmp_path)
    artifact, cached = store.get_or_make("network", KEY, lambda: pytest.fail("made"))
    assert cached
    assert artifact.digest == digest_of(TENSORS)
    assert sorted(tmp_path.rglob("*")) == before

    with pytest.raises(StorageError, match=r"not writable and lacks network 0000.*--cache"):
        store.get_or_make("network", "0" * 64, lambda: pytest.fail("made"))


def _tensors_and_meta(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    return {"weight": np.full((2, 2), ord(name), np.float32)}, {"identity": {"name": name}}


def _made(root: Path, names: str) -> dict[str, Path]:
    """An artifact for each name, under the key of its identity; its tensors differ too."""
    store = ArtifactStore(root)
    paths = {}
    for name in names:
        made = _tensors_and_meta(name)
        key = artifact_key("network", made[1]["identity"])
        store.get_or_make("network", key, lambda made=made: made)
        paths[key] = store.path("network", key)
    return paths


@pytest.mark.parametrize("move", [shutil.copy, os.replace], ids=["copied", "renamed"])
def test_a_file_under_the_name_of_another_is_never_taken(tmp_path: Path, move: Any) -> None:
    """Every pair of three, so that also a swap of two is one."""
    for first, second in itertools.permutations("abc", 2):
        root = tmp_path / f"{first}{second}"
        paths = _made(root, "abc")
        key, other = (artifact_key("network", {"name": name}) for name in (first, second))
        held = digest_of(_tensors_and_meta(first)[0])
        move(paths[other], paths[key])
        store = ArtifactStore(root)

        assert store.digest("network", key) is None
        assert store.load("network", key) is None
        assert key[:32] not in store.find("network", read_artifact(paths[key]).digest)
        made = _tensors_and_meta(first)
        artifact, cached = store.get_or_make("network", key, lambda made=made: made)
        assert (artifact.digest, cached) == (held, False)


def test_an_artifact_of_another_kind_is_never_taken(tmp_path: Path) -> None:
    (path,) = _made(tmp_path, "a").values()
    (tmp_path / "adversarial").mkdir()
    shutil.copy(path, tmp_path / "adversarial" / path.name)
    key = artifact_key("network", {"name": "a"})
    assert ArtifactStore(tmp_path).load("adversarial", key) is None


def test_files_with_other_names_are_no_artifacts(tmp_path: Path) -> None:
    (path,) = _made(tmp_path, "a").values()
    for name in (f"{path.stem}00", path.stem[:16], "weights", f"{path.stem.upper()}"):
        shutil.copy(path, path.with_name(f"{name}.safetensors"))
    assert list(ArtifactStore(tmp_path).find("network", read_artifact(path).digest)) == [path.stem]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_flipped_bit_is_detected_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("flips")
    (path,) = _made(root, "a").values()
    key = artifact_key("network", {"name": "a"})
    whole = ArtifactStore(root).load("network", key)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, 8 * len(content) - 1))
    content[position // 8] ^= 1 << position % 8
    path.write_bytes(bytes(content))

    store = ArtifactStore(root)
    loaded = store.load("network", key)
    assert loaded is None or (loaded.digest, loaded.meta) == (whole.digest, whole.meta)  # type: ignore[union-attr]
    assert store.digest("network", key) in (None, whole.digest)  # type: ignore[union-attr]


@pytest.mark.parametrize("content", [None, "weights.txt"], ids=["empty", "with a file"])
def test_a_folder_in_place_of_an_artifact_is_moved_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    store = ArtifactStore(tmp_path)
    path = store.path("network", KEY)
    path.mkdir(parents=True)
    if content:
        (path / content).write_text("mine")

    _, cached = store.get_or_make("network", KEY, lambda: (TENSORS, META))
    assert not cached
    assert path.is_file()
    assert "lay in place of a file" in caplog.text
    (aside,) = path.parent.glob("*.displaced-*")
    assert [entry.name for entry in aside.iterdir()] == ([content] if content else [])


@pytest.mark.parametrize("kind", ["pipe", "sparse"])
def test_what_is_no_regular_file_of_a_sane_size_is_made_again(tmp_path: Path, kind: str) -> None:
    store = ArtifactStore(tmp_path)
    path = store.path("network", KEY)
    path.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        with path.open("wb") as file:
            file.truncate(2**40)
    assert store.digest("network", KEY) is None
    assert not store.get_or_make("network", KEY, lambda: (TENSORS, META))[1]
    assert path.stat().st_size < 10_000
