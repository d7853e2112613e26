"""The base class of tasks: units of work that know the key of their result."""

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

    A task can run in any process that has the store and the data sets.

    Attributes:
        kind: kind of the artifact that the task makes; also its folder in the store.
    """

    kind: ClassVar[str]

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Everything that changes the result, and nothing else, as JSON values."""

    @abstractmethod
    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        """Do the work and return the tensors with their description."""

    @property
    def title(self) -> str:
        """One line for people; by default the kind of the artifact and its key."""
        return f"{self.kind} {self.key[:8]}"

    @cached_property
    def key(self) -> str:
        """The content key, from which all seeds of the task are derived."""
        return artifact_key(self.kind, self.identity())
