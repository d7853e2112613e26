"""The worker in a process of Ray, and what travels to it and back.

On a machine that does not see the artifact cache of the run, a worker has a store of its own. It is
sent the artifacts that its jobs refer to, and sends back those that it made.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import ray

from bench.errors import BenchError, StorageError
from bench.execution.jobs import Finished, Input, Job, WorkerSetup
from bench.execution.plugin_files import PackedPlugins
from bench.execution.software import software
from bench.execution.temporary_folders import new_folder
from bench.execution.worker import Desk
from bench.store.artifacts import Artifact, ArtifactStore, check_key, digest_of
from bench.text import LONGEST_LINE, one_line

FOLDERS = "bench-worker"
"""Beginning of the names of the workers' folders."""

Sent = Mapping[str, "ray.ObjectRef[Artifact]"]
"""Artifacts that the process of the run has put into Ray's object store, by content key."""


class Parcel(NamedTuple):
    """An artifact on its way from one store to another.

    Attributes:
        kind: kind of the artifact.
        key: content key, or the digits of it that name its file.
        artifact: the artifact.
    """

    kind: str
    key: str
    artifact: Artifact

    def write(self, store: ArtifactStore) -> str:
        """Write the artifact where a store lacks it; the digest of the one that is there then.

        Raises:
            StorageError: it was damaged on its way, or cannot be written.
        """
        tensors, meta = self.artifact.tensors, self.artifact.meta
        try:
            check_key(self.kind, self.key, meta)
        except ValueError as error:
            raise StorageError(f"{self.kind} {self.key[:8]} was sent, and {error}") from None
        if digest_of(tensors) != self.artifact.digest:
            raise StorageError(f"{self.kind} {self.key[:8]} was damaged on its way")

        stored, _ = store.get_or_make(self.kind, self.key, lambda: (tensors, meta))
        return stored.digest


@dataclass(frozen=True)
class Assignment:
    """Everything that the worker of a process is made from.

    Attributes:
        setup: device, folders and threads.
        plugins: plugins from outside the package, with their files.
        folder: working folder of the process of the run, where relative paths begin.
        software: software of the process of the run, as `bench.execution.software` tells it.
        mark: name of the file in the run's artifact cache that only this run has made.
    """

    setup: WorkerSetup
    plugins: PackedPlugins
    folder: Path
    software: Mapping[str, str]
    mark: str


class Report(NamedTuple):
    """What a worker sends back.

    Attributes:
        finished: end of the job; None where an artifact that it refers to was not sent along.
        parcels: artifacts that were made, where the worker has a store of its own.
    """

    finished: Finished | None
    parcels: tuple[Parcel, ...] = ()


def work(assignment: bytes, job: bytes, sent: Sent) -> Report:
    """Do a job in this process, whose worker is made for its first job.

    Args:
        assignment: a pickled `Assignment`, the same for all jobs of a process.
        job: a pickled `Job`.
        sent: artifacts by content key.
    """
    task: Job = pickle.loads(job)  # noqa: S301 - the process of the run made it
    try:
        report = _worker(assignment).report(task, sent)
    except BenchError as error:
        report = Report(Finished(task.key, "stopped", str(error)))
    if report.finished is None or report.finished.ending != "stopped":
        return report

    # What is missing there may well be found where the line is read.
    text = one_line(f"on the machine {platform.node()}: {report.finished.text}", LONGEST_LINE)
    return report._replace(finished=replace(report.finished, text=text))


@cache
def _worker(assignment: bytes) -> _RayWorker:
    return _RayWorker(pickle.loads(assignment))  # noqa: S301 - as above


class _RayWorker:
    """Does the jobs of a process.

    Args:
        assignment: what the worker is made from.

    Raises:
        StorageError: the software here is other software than where the run was started, or the
            folder of temporary files cannot be written.
    """

    def __init__(self, assignment: Assignment) -> None:
        _check_software(assignment.software)
        # Ray starts its processes where the cluster was started; parameters may name files.
        with contextlib.suppress(OSError):
            os.chdir(assignment.folder)
        setup = assignment.setup
        # Weights elsewhere would be trained again, under the keys of those that are given.
        is_shared = (setup.store / assignment.mark).exists() and (
            setup.weights is None or setup.weights.exists()
        )

        folder = new_folder(FOLDERS)
        (folder / assignment.mark).touch()
        plugins = assignment.plugins.unpacked(folder)
        setup = replace(setup, plugins=plugins)
        if not is_shared:
            setup = replace(setup, store=folder / "artifacts", weights=None)

        self._own = None if is_shared else _OwnStore(setup.store)
        self._desk = Desk(setup)

    def report(self, job: Job, sent: Sent) -> Report:
        """Do a job and say how it ended.

        Raises:
            StorageError: the artifacts that it refers to cannot be written.
        """
        if self._own is None:
            return Report(self._desk.finished(job))
        if not self._own.receive(job, sent):
            return Report(None)

        finished = self._desk.finished(job)
        return Report(finished, tuple(self._own.made()))


class _OwnStore:
    """The store of a worker that does not see that of the run.

    Args:
        root: folder of the store.
    """

    def __init__(self, root: Path) -> None:
        self._store = ArtifactStore(root)
        self._known: set[Path] = set()

    def receive(self, job: Job, sent: Sent) -> bool:
        """Fetch the artifacts that a job refers to; whether all of them were sent.

        Raises:
            StorageError: an artifact was damaged on its way, or cannot be written.
        """
        missing = [each for each in job.inputs if not self._has(each)]
        if not all(each.key in sent for each in missing):
            return False

        for kind, key, _ in missing:
            path = self._store.path(kind, key)
            path.unlink(missing_ok=True)  # it may be another artifact than the one of the run
            Parcel(kind, key, ray.get(sent[key])).write(self._store)
            self._known.add(path)
        return True

    def _has(self, needed: Input) -> bool:
        return self._store.digest(needed.kind, needed.key) == needed.digest

    def made(self) -> Iterator[Parcel]:
        """The artifacts that were made here and are not yet sent back."""
        for path in sorted(self._store.root.glob("*/*.safetensors")):
            artifact = self._store.load(path.parent.name, path.stem)
            if path not in self._known and artifact is not None:
                self._known.add(path)
                yield Parcel(path.parent.name, path.stem, artifact)


def _check_software(expected: Mapping[str, str]) -> None:
    """Check that this process has the software of the run.

    Raises:
        StorageError: it has other software.
    """
    own = software()
    differing = [name for name in expected if own.get(name) != expected[name]]
    if not differing:
        return

    shown = (f"{name} {own[name][:12]} in place of {expected[name][:12]}" for name in differing)
    raise StorageError(f"other software than where the run was started: {', '.join(shown)}")
