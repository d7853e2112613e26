"""The calls that a run makes in the processes of Ray."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.execution.jobs import Job
from bench.execution.needs import Needs
from bench.execution.ray_worker import FOLDERS, Assignment, Report, Sent

_CLEARED_WITHIN_S = 10.0
"""Seconds for which the removal of the workers' files is waited for."""


class RayCalls:
    """Calls functions of `bench.execution` in processes of this run alone.

    Args:
        assignment: what the workers are made from.
        needs: what a task needs.
        folder: folder of an instance on this machine; None for another one.
    """

    def __init__(self, assignment: Assignment, needs: Needs, folder: Path | None) -> None:
        path = [str(Path(each).absolute()) for each in sys.path] if folder else []
        # Ray puts the working folder before everything else, where it may hide installed packages.
        here = str(Path.cwd())
        hidden = "" if {"", here} & {*sys.path} else here

        # A function inside of another one is sent as it is, not by the name of its module.
        def call(module: str, function: str, *arguments: Any) -> Any:
            import importlib
            import sys

            own = [each for each in sys.path if each != hidden and each not in path]
            sys.path[:] = [*path, *own]
            called = importlib.import_module(f"bench.execution.{module}")

            return getattr(called, function)(*arguments)

        # The variable makes processes of their own for this run.
        variables = {"BENCH_WORKERS": assignment.mark}
        if folder:
            variables["TMPDIR"] = str(folder)
        self._call: Any = ray.remote(
            num_cpus=needs.cpus,
            num_gpus=needs.gpu,
            max_retries=0,
            runtime_env={"env_vars": variables},
        )(call)
        self._shared = ray.put(pickle.dumps(assignment))
        self._mark = assignment.mark

    def start(self, job: Job, sent: Sent) -> ray.ObjectRef[Report]:
        """Start a job, with artifacts for a worker that lacks the store."""
        named = self._call.options(name=job.title)
        reference: ray.ObjectRef[Report] = named.remote(
            "ray_worker", "work", self._shared, pickle.dumps(job), sent
        )
        return reference

    def clear(self, nodes: Sequence[str]) -> None:
        """Have the files of the workers removed, none of which has a job any more.

        Ray ends a process without letting it remove anything.

        Args:
            nodes: ids of the nodes that are alive. Files of one that cannot be reached stay until
                another worker starts on its machine.
        """
        with contextlib.suppress(RayError):
            if references := [self._clear_on(node) for node in nodes]:
                ray.wait(references, num_returns=len(references), timeout=_CLEARED_WITHIN_S)

    def _clear_on(self, node: str) -> ray.ObjectRef[None]:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        unbound = self._call.options(num_cpus=0, num_gpus=0, scheduling_strategy=there)
        reference: ray.ObjectRef[None] = unbound.remote(
            "temporary_folders", "remove_folders", FOLDERS, self._mark
        )
        return reference
