"""The start of workers: those of an executor's spec, for the device and the folders of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from bench.execution.jobs import WorkerSetup
from bench.execution.pool import Pool
from bench.execution.specs import ExecutorSpec, LocalSpec
from bench.execution.workers import Workers
from bench.store.artifacts import ArtifactStore


def start_workers(
    spec: ExecutorSpec, setup: WorkerSetup, store: ArtifactStore, *, spread: bool
) -> Workers | None:
    """The workers of an executor; None where this process does all tasks itself.

    Args:
        spec: executor.
        setup: what each worker is made from.
        store: artifact cache of the run.
        spread: whether the workers may use all GPUs of a machine, not only the one of the setup.
    """
    if isinstance(spec, LocalSpec):
        return Pool(list(_setups(spec, setup, spread=spread))) if spec.dispatches else None

    from bench.execution.ray_workers import RayWorkers  # an optional package, which loads slowly

    return RayWorkers(setup, store, spec)


def _setups(spec: LocalSpec, setup: WorkerSetup, *, spread: bool) -> Iterator[WorkerSetup]:
    """What the worker of each process is made from; GPUs are given out in turn."""
    gpus = torch.cuda.device_count() if spread and setup.device.startswith("cuda") else 0
    for index in range(spec.processes):
        yield replace(setup, device=f"cuda:{index % gpus}") if gpus else setup
