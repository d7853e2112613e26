"""Tasks on their way to a worker: packed here, and checked there against its own code and data.

A plugin travels as its name, its parameters and its identity, and is configured again on arrival.
A worker whose code or data sets differ refuses the task.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple

from bench.contracts import DataInfo, Network
from bench.errors import StorageError
from bench.execution.jobs import Input, Job
from bench.plugins.architectures import imported_architecture
from bench.plugins.configured import Configured, configure
from bench.plugins.parameters import CODE_REFERENCE
from bench.registry import REGISTRIES
from bench.spec import Spec
from bench.stages.context import TaskContext
from bench.stages.observation import Observer
from bench.stages.references import AdversarialRef, NetworkRef, SplitRef
from bench.stages.task import Task
from bench.store.keys import artifact_key
from bench.text import LONGEST_NAME, one_line

_THERE = "on this worker than where the run was started"


class _Shipped(NamedTuple):
    """A configured plugin on its way.

    Attributes:
        family: family of its registry; empty for code in the place of a plugin.
        spec: spec as the user wrote it.
        resolved: spec with all parameters written out.
        identity: everything in the plugin that changes a result.
    """

    family: str
    spec: Spec
    resolved: Spec
    identity: Mapping[str, Any]


def job_of(task: Task) -> Job:
    """The job of a task."""
    parts = list(_parts(task))
    splits = dict.fromkeys(part for part in parts if isinstance(part, SplitRef))
    packed = io.BytesIO()
    pickle.dump(tuple(splits), packed)
    _Packing(packed).dump(task)

    return Job(task.key, task.kind, task.title, packed.getvalue(), tuple(_inputs(parts)))


class Arrivals:
    """Unpacks the tasks of jobs for a worker, and checks them against its code and data.

    Args:
        context: data sets of the worker.
    """

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._observer = Observer()
        self._known: dict[tuple[str, Spec, Spec, DataInfo | None], Configured[Any]] = {}

    def task(self, job: Job) -> Task:
        """The task of a job.

        Raises:
            StorageError: a plugin or a data set is another one than where the job comes from.
            RequestError: a plugin or a data set is not there.
        """
        packed = io.BytesIO(job.task)
        splits: Sequence[SplitRef] = pickle.load(packed)  # noqa: S301 - from the run itself
        for split in splits:
            self._check_images(split)

        info = splits[0].info if splits else None
        task = _Unpacking(packed, lambda shipped: self._configured(shipped, info)).load()
        if not isinstance(task, Task) or artifact_key(task.kind, task.identity()) != job.key:
            raise StorageError(f"{one_line(job.title, LONGEST_NAME)} is another task {_THERE}")

        return task

    def _check_images(self, split: SplitRef) -> None:
        """Check that the worker has the images of a split.

        Raises:
            StorageError: its images are others.
        """
        if self._context.split(split.dataset, split.n).digest != split.digest:
            name = one_line(split.dataset, LONGEST_NAME)
            raise StorageError(f"dataset '{name}' has other images {_THERE}")

    def _configured(self, shipped: _Shipped, info: DataInfo | None) -> Configured[Any]:
        """The plugin as the worker's own code makes it.

        Raises:
            StorageError: it is another one.
        """
        key = (shipped.family, shipped.spec, shipped.resolved, info)
        if key not in self._known:
            self._known[key] = self._configured_again(shipped, info)

        own = self._known[key]
        if own.identity != shipped.identity:
            label = one_line(str(shipped.spec), LONGEST_NAME)
            parts = {*own.identity, *shipped.identity}
            differing = sorted(
                part for part in parts if own.identity.get(part) != shipped.identity.get(part)
            )
            raise StorageError(
                f"{shipped.family} '{label}' is another one {_THERE} ({', '.join(differing)})"
            )
        return own

    def _configured_again(self, shipped: _Shipped, info: DataInfo | None) -> Configured[Any]:
        if not shipped.family:
            architecture = imported_architecture(shipped.spec.name)
            return Configured(shipped.spec, architecture, {}, architecture.identity)

        configured = configure(REGISTRIES[shipped.family], shipped.resolved)
        configured = replace(configured, spec=shipped.spec)
        if info is not None and isinstance(configured.plugin, Network):
            configured = self._observer.observed(configured, info)

        return configured


class _Packing(pickle.Pickler):
    """A pickler that names plugins in place of taking their objects along."""

    def persistent_id(self, value: object) -> _Shipped | None:
        """The name of a plugin; None for anything else."""
        if not isinstance(value, Configured):
            return None
        is_code = bool(CODE_REFERENCE.fullmatch(value.spec.name))
        family = "" if is_code else _family(value)

        return _Shipped(family, value.spec, value.resolved, dict(value.identity))


class _Unpacking(pickle.Unpickler):
    """The counterpart of `_Packing`."""

    def __init__(
        self, packed: io.BytesIO, configured: Callable[[_Shipped], Configured[Any]]
    ) -> None:
        super().__init__(packed)
        self._configured = configured

    def persistent_load(self, shipped: _Shipped) -> Configured[Any]:
        """The plugin of a name."""
        return self._configured(shipped)


def _family(configured: Configured[Any]) -> str:
    """The family of a plugin's registry."""
    kind = type(configured.plugin)
    return next(
        family
        for family, registry in REGISTRIES.items()
        if configured.name in registry and registry.get(configured.name) is kind
    )


def _parts(value: object) -> Iterator[object]:
    """The data classes that a task is made of, without those inside of its plugins."""
    if isinstance(value, Configured) or not is_dataclass(value):
        return

    yield value
    for field in fields(value):
        yield from _parts(getattr(value, field.name))


def _inputs(parts: Sequence[object]) -> Iterator[Input]:
    """The artifacts that a task refers to, each once."""
    networks = (part for part in parts if isinstance(part, NetworkRef))
    sets = (part for part in parts if isinstance(part, AdversarialRef))
    yield from dict.fromkeys(Input("network", part.key, part.digest) for part in networks)
    yield from dict.fromkeys(Input("adversarial", part.key, part.digest) for part in sets)
