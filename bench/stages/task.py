"""What a stage is: a task that knows its key and can be run anywhere its inputs can be had."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from bench.stages.context import TaskContext
from bench.store.artifacts import Meta, Tensors
from bench.store.keys import artifact_key


class Task(ABC):
    """A unit of work with a content key; `run` is a pure function of what the key covers.

    Attributes:
        kind: the folder of the artifacts it makes.
    """

    kind: ClassVar[str]

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Everything that changes the result, and nothing else, as JSON."""

    @abstractmethod
    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        """Do the work: the tensors and their description."""

    @cached_property
    def key(self) -> str:
        """The content key; all randomness of the task is derived from it."""
        return artifact_key(self.kind, self.identity())
