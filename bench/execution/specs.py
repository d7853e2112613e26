"""Specs of executors, such as `local:processes=2`: what does the tasks of a run, and how many."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Any, TypeAlias, get_type_hints

from bench.errors import RequestError, unknown
from bench.spec import Spec
from bench.text import LONGEST_NAME, one_line

DEFAULT_EXECUTOR = "local"

_BARE_ADDRESS = re.compile(r"(?<=:)address=([^:\[\]]+:\d+)(?=:|$)")
"""An address with its port, which a spec would have in brackets."""


@dataclass(frozen=True)
class LocalSpec:
    """The executor `local`: this process, or several on this machine.

    Attributes:
        processes: number of processes that do tasks; 1 for this one alone.
        threads: number of processor threads of a task, on which the last bits of sums depend; None
            for the share of a process, or for PyTorch's own choice if there is but one.
    """

    processes: int = 1
    threads: int | None = None

    @property
    def title(self) -> str:
        """One line for people."""
        return f"{self.processes} processes on this machine, threads of a task: {self.task_threads}"

    @property
    def dispatches(self) -> bool:
        """Whether other processes do the tasks."""
        return self.processes > 1

    @property
    def task_threads(self) -> int | None:
        """The number of threads of a task; None for PyTorch's own choice."""
        if self.threads is not None or self.processes == 1:
            return self.threads
        return max(1, processors() // self.processes)


@dataclass(frozen=True)
class RaySpec:
    """The executor `ray`: an instance of its own on this machine, or a cluster.

    Attributes:
        address: `HOST:PORT` of a cluster, or `auto`; None for an instance of its own.
        cpus: number of processors, and of threads, of a task.
        gpu: share of a GPU of a task, where the device is one.
        processes: largest number of tasks at once; None for as many as there is room for.
    """

    address: str | None = None
    cpus: int = 1
    gpu: float = 1.0
    processes: int | None = None

    @property
    def title(self) -> str:
        """One line for people."""
        place = f"the cluster at {self.address}" if self.address else "an instance of Ray"
        return f"{place}, processors of a task: {self.cpus}"

    @property
    def dispatches(self) -> bool:
        """Whether other processes do the tasks."""
        return True

    @property
    def task_threads(self) -> int:
        """The number of threads of a task."""
        return self.cpus


ExecutorSpec: TypeAlias = LocalSpec | RaySpec

ONE_PROCESS = LocalSpec()
"""The executor of a run that names none."""

_EXECUTORS: Mapping[str, type[LocalSpec] | type[RaySpec]] = {"local": LocalSpec, "ray": RaySpec}


def parse_executor(text: str) -> ExecutorSpec:
    """The executor of a `--executor` value.

    Raises:
        RequestError: the executor or a parameter is unknown, a value is out of range, or the
            executor needs a package that is not installed.
    """
    spec = Spec.parse(_BARE_ADDRESS.sub(r"address=[\1]", text))
    if spec.name not in _EXECUTORS:
        raise unknown("executor", spec.name, _EXECUTORS)

    kind = _EXECUTORS[spec.name]
    if kind is RaySpec and find_spec("ray") is None:
        raise RequestError(
            "--executor ray needs the package ray: pip install 'purification-bench[ray]'"
        )
    names = [field.name for field in fields(kind)]
    for name, _ in spec.parameters:
        if name not in names:
            raise unknown(f"parameter of executor '{spec.name}':", name, names)

    hints = get_type_hints(kind)
    values: dict[str, Any] = {
        name: _value(text, name, hints[name], value) for name, value in spec.parameters
    }
    return kind(**values)


def _value(text: str, name: str, hint: object, value: str) -> str | int | float:
    """A parameter's value as its type says.

    Raises:
        RequestError: it is not of the type, or is out of range.
    """
    if hint in (str | None, str):
        return value

    is_whole = hint in (int, int | None)
    try:
        number = int(value) if is_whole else float(value)
    except ValueError:
        number = 0
    if not 0 < number <= (_MOST if is_whole else 1):
        allowed = f"a whole number from 1 to {_MOST}" if is_whole else "a number above 0, at most 1"
        raise RequestError(
            f"--executor {one_line(text, LONGEST_NAME)}: parameter "
            f"{name}={one_line(value, LONGEST_NAME)} must be {allowed}"
        )
    return number


_MOST = 1024
"""Largest number of processes, threads or processors."""


def processors() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
