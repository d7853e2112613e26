"""The worker in a process of Ray, without Ray: what it refuses, and what it sends back."""

from __future__ import annotations

import dataclasses
import pickle
import platform
from pathlib import Path

import numpy as np
import pytest

from bench.errors import StorageError
from bench.execution.jobs import Job, WorkerSetup
from bench.execution.plugin_files import packed
from bench.execution.software import software
from bench.store.artifacts import Artifact, ArtifactStore, digest_of
from bench.store.keys import artifact_key

pytest.importorskip("ray", reason="the extra purification-bench[ray] is not installed")

from bench.execution.ray_worker import Assignment, Parcel, work

IDENTITY = {"of": "a test"}
KEY = artifact_key("network", IDENTITY)
TENSORS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
ARTIFACT = Artifact(TENSORS, {"identity": IDENTITY}, digest_of(TENSORS))


@pytest.mark.parametrize("name", software())
def test_other_software_is_named(tmp_path: Path, name: str) -> None:
    setup = WorkerSetup("cpu", tmp_path, None, tmp_path)
    given = {**software(), name: "0.0"}
    assignment = Assignment(setup, packed(()), Path.cwd(), given, "mark")
    report = work(pickle.dumps(assignment), pickle.dumps(Job(KEY, "network", "title", b"")), {})
    assert report.finished is not None
    assert (report.finished.key, report.finished.ending) == (KEY, "stopped")
    assert report.finished.text.startswith(f"on the machine {platform.node()}: other software")
    assert f"{name} {software()[name][:12]} in place of 0.0" in report.finished.text


def test_the_digest_of_the_code_is_that_of_its_files() -> None:
    assert len(software()["purification-bench"]) == 64
    assert "+" not in software()["torch"]


def test_an_artifact_arrives_as_it_was_sent(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    assert Parcel("network", KEY, ARTIFACT).write(store) == ARTIFACT.digest
    stored = store.load("network", KEY)
    assert stored is not None
    assert np.array_equal(stored.tensors["weight"], TENSORS["weight"])

    # The first one stays, whatever comes later.
    other = {"weight": TENSORS["weight"] + 1}
    late = Artifact(other, ARTIFACT.meta, digest_of(other))
    assert Parcel("network", KEY[:32], late).write(store) == ARTIFACT.digest


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"digest": "0" * 64}, KEY),
        ({"tensors": {"weight": TENSORS["weight"] + 1}}, KEY),
        ({"meta": {"identity": {"of": "another"}}}, KEY),
        ({"meta": {}}, KEY),
        ({}, "f" * 64),
    ],
    ids=["digest", "content", "identity", "no identity", "key"],
)
def test_an_artifact_that_is_not_what_it_says_is_refused(
    tmp_path: Path, changes: dict[str, object], key: str
) -> None:
    store = ArtifactStore(tmp_path)
    sent = dataclasses.replace(ARTIFACT, **changes)  # type: ignore[arg-type]
    with pytest.raises(StorageError):
        Parcel("network", key, sent).write(store)
    assert store.load("network", key) is None
