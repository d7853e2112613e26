"""Asked tasks: those that steps of a run wait for, with what befell the workers that did them."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.errors import NotApplicable, PluginFault
from bench.execution.jobs import Finished
from bench.stages.task import Task
from bench.sweep.runner import Step
from bench.text import LONGEST_NAME, one_line


@dataclass
class Waiting:
    """A step of a run, and how many tasks it waits for."""

    step: Step
    missing: int = 0


@dataclass
class Asked:
    """A task that steps wait for.

    Attributes:
        task: the task.
        steps: steps that wait for it.
        users: keys of asked tasks that came upon it as damaged, and are done again after it.
        damaged: keys of artifacts that it came upon as damaged.
        deaths: number of workers that ended while they did it.
    """

    task: Task
    steps: list[Waiting] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    deaths: int = 0

    @property
    def name(self) -> str:
        """The title of the task in one line."""
        return one_line(self.task.title, LONGEST_NAME)

    def death(self, finished: Finished) -> str:
        """What ended the worker of the task, in one line."""
        return f"{self.name}: {one_line(finished.text)}"

    def fault(self, finished: Finished) -> PluginFault | NotApplicable | None:
        """Why the task failed; None where its artifact was made."""
        if finished.ending == "made":
            return None
        if finished.ending == "not applicable":
            return NotApplicable(finished.text)
        if finished.ending == "failed":
            return PluginFault(finished.text)

        return PluginFault(f"{self.death(finished)}; given up after {self.deaths} tries")
