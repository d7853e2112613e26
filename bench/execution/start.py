"""The start of workers: those of an executor's spec, for the device and the folders of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from bench.execution.jobs import Finished, Job, WorkerSetup
from bench.execution.pool import Pool
from bench.execution.specs import ExecutorSpec, LocalSpec, RaySpec
from bench.execution.workers import Workers
from bench.store.artifacts import ArtifactStore


def start_workers(
    spec: ExecutorSpec, setup: WorkerSetup, store: ArtifactStore, *, spread: bool
) -> Workers | None:
    """The workers of an executor; None where this process does all tasks itself.

    They start with their first job: a run that finds everything stored starts none.

    Args:
        spec: executor.
        setup: what each worker is made from.
        store: artifact cache of the run.
        spread: whether the workers may use all GPUs of a machine, not only the one of the setup.
    """
    if isinstance(spec, LocalSpec):
        return Pool(list(_setups(spec, setup, spread=spread))) if spec.dispatches else None

    return StartedWhenNeeded(lambda: _ray_workers(spec, setup, store))


class StartedWhenNeeded:
    """Workers that are started for their first job. See `bench.execution.workers.Workers`.

    Args:
        start: function that starts them.
    """

    def __init__(self, start: Callable[[], Workers]) -> None:
        self._start = start
        self._started: Workers | None = None

    @property
    def slots(self) -> int:
        """See `Workers.slots`; 1 before they are started."""
        return self._started.slots if self._started else 1

    def submit(self, job: Job) -> None:
        """See `Workers.submit`.

        Raises:
            BenchError: they cannot be started.
        """
        self._started = self._started or self._start()
        self._started.submit(job)

    def finished(self) -> Sequence[Finished]:
        """See `Workers.finished`."""
        return self._started.finished() if self._started else ()

    def close(self) -> None:
        """See `Workers.close`."""
        if self._started:
            self._started.close()


def _ray_workers(spec: RaySpec, setup: WorkerSetup, store: ArtifactStore) -> Workers:
    from bench.execution.ray_workers import RayWorkers  # an optional package, which loads slowly

    return RayWorkers(setup, store, spec)


def _setups(spec: LocalSpec, setup: WorkerSetup, *, spread: bool) -> Iterator[WorkerSetup]:
    """What the worker of each process is made from; GPUs are given out in turn."""
    gpus = torch.cuda.device_count() if spread and setup.device.startswith("cuda") else 0
    for index in range(spec.processes):
        yield replace(setup, device=f"cuda:{index % gpus}") if gpus else setup
