"""What travels between the process of a run and its workers: jobs, and how they ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

Ending = Literal["made", "failed", "not applicable", "damaged", "lost", "stopped"]
"""How a job ended.

`made`: its artifact is stored. `failed`: a plugin raised or broke its contract. `not applicable`:
the task makes no sense. `damaged`: an input does not match its digest. `lost`: its worker ended
before the job did. `stopped`: the worker cannot work, so that the run cannot go on.
"""


class Input(NamedTuple):
    """An artifact that a task refers to.

    Attributes:
        kind: kind of the artifact.
        key: content key.
        digest: SHA-256 digest of its tensors.
    """

    kind: str
    key: str
    digest: str


@dataclass(frozen=True)
class Job:
    """A task that is to be done by a worker.

    Attributes:
        key: content key of the task.
        kind: kind of the artifact that it makes.
        title: one line for people.
        task: the task, as `bench.execution.shipping.shipped` packs it.
        inputs: artifacts that the task refers to.
    """

    key: str
    kind: str
    title: str
    task: bytes
    inputs: tuple[Input, ...] = ()


class Message(NamedTuple):
    """A line of a worker's log.

    Attributes:
        logger: name of the logger.
        level: level of the line.
        text: the line, with its traceback if it has one.
    """

    logger: str
    level: int
    text: str


@dataclass(frozen=True)
class Finished:
    """The end of a job.

    Attributes:
        key: content key of its task.
        ending: how it ended.
        text: digest of the artifact of a job whose artifact was made; key of the damaged artifact;
            else the reason, in one line.
        messages: what the worker logged meanwhile.
        seconds: time that the worker took for the task; 0 where nobody knows it.
    """

    key: str
    ending: Ending
    text: str
    messages: tuple[Message, ...] = ()
    seconds: float = 0.0


class ShippedPlugin(NamedTuple):
    """A file or module with plugins from outside the package.

    Attributes:
        source: file or module name, as given to `--plugin`.
        digest: SHA-256 digest of its file.
    """

    source: str
    digest: str


@dataclass(frozen=True)
class WorkerSetup:
    """Everything that a worker is made from.

    Attributes:
        device: device that it computes on, such as `cpu` or `cuda:0`.
        store: folder of the artifact cache.
        weights: folder of trained networks that replace training; None for none.
        data: folder of the data sets.
        plugins: files and modules with plugins from outside the package.
        threads: number of processor threads of a task; None for PyTorch's own choice.
        levels: levels of the loggers whose lines are sent back, by name.
    """

    device: str
    store: Path
    weights: Path | None
    data: Path
    plugins: tuple[ShippedPlugin, ...] = ()
    threads: int | None = None
    levels: Mapping[str, int] = field(default_factory=dict)
