"""Of a cell with several faults the first in a fixed order is told, whatever does its tasks."""

from __future__ import annotations

import dataclasses

import pytest

from bench.errors import PluginFault
from bench.plugins.configured import configure
from bench.registry import ATTACKS, DEFENSES
from bench.stages.context import TaskContext
from bench.stages.executor import Executor, LocalExecutor
from bench.stages.failed_tasks import FailedTasks
from bench.stages.predict import Predict
from bench.stages.task import Task
from bench.store.artifacts import Artifact
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig
from bench.sweep.demand import Demand
from bench.sweep.grid import Grid

BEFORE_CHECKS = [
    "Train cnn",
    "Train jpeg",
    "Craft",
    "ProjectToBudget",
    "Predict jpeg, attacked",
    "Predict jpeg",
    "Predict",
    "Predict, attacked",
    "Predict jpeg, attacked",  # the images before the projection
]
"""Tasks of a cell in the order in which they are asked for, without those of its checks."""


class Watched(LocalExecutor):
    """The local executor, which notes the tasks in the order in which they are asked for."""

    def __init__(self, context: TaskContext, failed: FailedTasks) -> None:
        super().__init__(context, failed)
        self.asked: dict[str, str] = {}
        self.failed = failed

    def _ask(self, task: Task) -> None:
        self.asked.setdefault(task.key, named(task))
        self.failed.check(task.key)  # first of all, since everything is stored here

    def artifact(self, task: Task) -> Artifact:
        self._ask(task)
        return super().artifact(task)

    def digest(self, task: Task) -> str:
        self._ask(task)
        return super().digest(task)


def named(task: Task) -> str:
    name = type(task).__name__
    if isinstance(task, Predict):
        purifier = f" {task.purifier.plugin.name}" if task.purifier else ""
        return f"{name}{purifier}{', attacked' if task.adversarial_set else ''}"

    plugin = getattr(task, "plugin", None)
    return f"{name} {plugin.name}" if plugin else name


@pytest.fixture
def cell(tiny_config: RunConfig) -> Cell:
    """A cell of an attack that looks for the nearest image, which asks for the most."""
    cell = next(iter(Grid.of(tiny_config).cells()))
    return dataclasses.replace(
        cell, defense=configure(DEFENSES, "jpeg"), attack=configure(ATTACKS, "deepfool:steps=2")
    )


def outcome(executor: Executor, context: TaskContext, config: RunConfig, cell: Cell) -> str:
    tasks = CellTasks(executor, context, config)
    return repr(tasks.result(cell, tasks.networks(cell)))


def test_the_first_fault_in_a_fixed_order_is_told(
    context: TaskContext, tiny_config: RunConfig, cell: Cell
) -> None:
    config = tiny_config.model_copy(update={"n": 12, "convergence": 2})
    watched = Watched(context, FailedTasks())
    of_cell = outcome(watched, context, config, cell)
    asked = list(watched.asked)

    assert list(watched.asked.values())[: len(BEFORE_CHECKS)] == BEFORE_CHECKS
    assert len(asked) > len(BEFORE_CHECKS) + 4
    assert outcome(Demand(context.store, FailedTasks()), context, config, cell) == of_cell

    for number, first in enumerate(asked):
        failed = FailedTasks()
        for key in reversed(asked[number:]):
            failed.add(key, PluginFault(f"fault of {key}"))
        for executor in (Watched(context, failed), Demand(context.store, failed)):
            with pytest.raises(PluginFault, match=f"fault of {first}"):
                outcome(executor, context, config, cell)
