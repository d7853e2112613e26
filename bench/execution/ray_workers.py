"""Workers in the processes of Ray, on this machine or on the machines of a cluster."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

from bench.errors import RequestError, StorageError
from bench.execution.jobs import Finished, Input, Job, WorkerSetup
from bench.execution.needs import Needs
from bench.execution.plugin_files import packed
from bench.execution.ray_calls import RayCalls
from bench.execution.ray_instance import connected
from bench.execution.ray_worker import Assignment, Report
from bench.execution.software import software
from bench.execution.specs import RaySpec, processors
from bench.failures import message_line
from bench.store.artifacts import NAME_DIGITS, Artifact, ArtifactStore
from bench.store.seen import is_seen
from bench.text import LONGEST_LINE, one_line

_LOOK_EVERY_S = 30.0
"""Seconds without the end of a job after which the nodes of the cluster are looked at."""

_SEEN_WITHIN_S = 90.0
"""Seconds within which a file of another machine is seen; NFS remembers for 60 by default."""

_NODES_HOLD_S = 1.0
"""Seconds for which what Ray says of its nodes is used again; asking it takes milliseconds."""

_NO_NODE = "no node of the cluster is left that has room for a task"


class RayWorkers:
    """See `bench.execution.workers.Workers`.

    A process does one job after another, because the import of PyTorch takes seconds. With a GPU it
    does one job only, since it would keep memory of the device that others are promised.

    Args:
        setup: what the workers are made from.
        store: artifact cache of the run.
        spec: address of a cluster, and what a task needs.

    Raises:
        RequestError: Ray cannot be started or joined, or no node has room for a task.
        StorageError: the artifact cache cannot be written.
    """

    def __init__(self, setup: WorkerSetup, store: ArtifactStore, spec: RaySpec) -> None:
        self._store = store
        self._processes = spec.processes
        self._needs = Needs(spec.cpus, spec.gpu if setup.device.startswith("cuda") else 0.0)
        self._running: dict[Future[Report], tuple[Job, ray.ObjectRef[Report]]] = {}
        self._sent: dict[str, ray.ObjectRef[Artifact]] = {}
        self._is_sending = False
        self._counted, self._counted_again = 0, 0.0

        with contextlib.ExitStack() as stack:
            own = spec.cpus * spec.processes if spec.processes else processors()
            instance = connected(spec.address, own, has_gpus=self._needs.gpu > 0)
            folder = stack.enter_context(instance)
            self._check_room()
            mark = stack.enter_context(_mark(store.root))
            # Each process of Ray sees its own GPUs only, and numbers them from 0.
            device = setup.device.partition(":")[0]
            setup = replace(setup, device=device)
            assignment = Assignment(setup, packed(setup.plugins), Path.cwd(), software(), mark)
            self._calls = RayCalls(assignment, self._needs, folder)
            if folder is None:  # an own folder is removed as a whole
                stack.callback(self._clear)
            stack.callback(self._cancel)
            self._exit = stack.pop_all()

    @property
    def slots(self) -> int:
        """The number of jobs that the nodes have room for now, at least 1."""
        room = self._room()
        return max(1, min(room, self._processes or room))

    def submit(self, job: Job) -> None:
        """See `Workers.submit`."""
        if self._is_sending:
            self._send_inputs(job)

        sent = {each.key: self._sent[each.key] for each in job.inputs if each.key in self._sent}
        reference = self._calls.start(job, sent)
        self._running[reference.future()] = (job, reference)

    def finished(self) -> Sequence[Finished]:
        """See `Workers.finished`."""
        ended: list[Finished] = []
        while not ended:
            # Ray's own function would not let a signal through before a job has ended.
            done, _ = wait(self._running, _LOOK_EVERY_S, FIRST_COMPLETED)
            if not done and not self._room():
                return [Finished(job.key, "stopped", _NO_NODE) for job in self._dropped()]
            for future in done:
                job, _ = self._running.pop(future)
                ended.extend(self._ended(job, future))

        return ended

    def close(self) -> None:
        """See `Workers.close`."""
        self._exit.close()

    def _ended(self, job: Job, future: Future[Report]) -> Iterator[Finished]:
        """How a job ended; nothing where it was started again, with the artifacts that it needs."""
        error = future.exception()
        if error is not None:
            self._counted_again = 0.0  # its node may be gone
            yield _failure(job, error)
            return

        report = future.result()
        if report.finished is not None:
            finished = self._received(report.finished, report)
            if finished.ending == "made":
                is_seen(self._store.path(job.kind, job.key), _SEEN_WITHIN_S)
            yield finished
            return

        self._is_sending = True
        missing = self._send_inputs(job)
        if missing is None:
            self.submit(job)
        else:
            yield Finished(job.key, "damaged", missing.key)

    def _received(self, finished: Finished, report: Report) -> Finished:
        """The end of a job, after the artifacts that came back were written."""
        digests = {parcel.key: parcel.write(self._store) for parcel in report.parcels}
        # Where the same artifact was made twice, the first one stays.
        text = digests.get(finished.key[:NAME_DIGITS], finished.text)

        return replace(finished, text=text) if finished.ending == "made" else finished

    def _send_inputs(self, job: Job) -> Input | None:
        """Put the artifacts that a job refers to into Ray's object store, each once.

        Returns:
            an artifact that can no longer be read; None if all are there.
        """
        for each in job.inputs:
            if each.key in self._sent:
                continue
            artifact = self._store.load(each.kind, each.key)
            if artifact is None:
                return each
            self._sent[each.key] = ray.put(artifact)

        return None

    def _dropped(self) -> list[Job]:
        """The jobs that are running, which are dropped."""
        jobs = [job for job, _ in self._running.values()]
        self._cancel()
        self._running.clear()
        return jobs

    def _cancel(self) -> None:
        for _, reference in self._running.values():
            with contextlib.suppress(RayError):
                ray.cancel(reference, force=True)

    def _clear(self) -> None:
        with contextlib.suppress(RayError):  # the cluster may have gone
            self._calls.clear([node["NodeID"] for node in _alive()])

    def _room(self) -> int:
        """The number of tasks that fit on the nodes at once, as it was a second ago at most."""
        now = time.monotonic()
        if now >= self._counted_again:
            self._counted = sum(map(self._needs.room, _nodes()))
            self._counted_again = now + _NODES_HOLD_S

        return self._counted

    def _check_room(self) -> None:
        """Check that a task fits on a node.

        Raises:
            RequestError: it would wait for ever.
        """
        if self._room():
            return

        largest = max(_nodes(), key=lambda node: node.get("CPU", 0.0), default={})
        raise RequestError(
            f"--executor ray: a task needs {self._needs.text}, and no node has that "
            f"(the largest has {largest.get('CPU', 0.0):g} CPU and {largest.get('GPU', 0.0):g} GPU)"
        )


def _alive() -> list[dict[str, Any]]:
    """The nodes that are alive."""
    return [node for node in ray.nodes() if node["Alive"]]


def _nodes() -> list[dict[str, float]]:
    """The resources of the nodes that are alive."""
    return [node["Resources"] for node in _alive()]


def _failure(job: Job, error: BaseException) -> Finished:
    """The end of a job that Ray has a fault of."""
    if isinstance(error, RayTaskError | RuntimeEnvSetupError):
        cause = getattr(error, "cause", None) or error
        reason = f"a worker of Ray cannot work: {type(cause).__name__}: {message_line(cause)}"
        return Finished(job.key, "stopped", one_line(reason, LONGEST_LINE))

    # The first sentence says what happened; the rest is advice for programmers of Ray.
    sentence = message_line(error).partition(". ")[0]
    return Finished(job.key, "lost", one_line(f"{sentence[:1].lower()}{sentence[1:]}"))


@contextlib.contextmanager
def _mark(folder: Path) -> Iterator[str]:
    """The name of a new file in a folder, by which other machines know the folder.

    Should it be left behind, it is swept away like any other temporary file.

    Raises:
        StorageError: it cannot be made.
    """
    mark = folder / f".shared-{secrets.token_hex(16)}.partial"
    try:
        mark.touch()
    except OSError as error:
        raise StorageError(f"cannot write {mark}: {error.strerror or error}") from error

    try:
        yield mark.name
    finally:
        mark.unlink(missing_ok=True)
