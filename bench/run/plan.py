"""What a grid needs before any of it is computed: networks and adversarial sets, cached or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.contracts import Network
from bench.errors import NotApplicable
from bench.run.cell_tasks import CellTasks
from bench.run.grid import Cell, Grid
from bench.stages.context import TaskContext
from bench.stages.references import CellNetworks, NetworkRef
from bench.stages.train import Train
from bench.store.keys import content_key


@dataclass
class Plan:
    """What there is to do.

    Attributes:
        cells: how many in all.
        recorded: how many the run's folder already holds.
        networks: by key, (title, cached) of every network the remaining cells need.
        crafted: by key, whether an adversarial set that the remaining cells need is cached.
    """

    cells: int = 0
    recorded: int = 0
    networks: dict[str, tuple[str, bool]] = field(default_factory=dict)
    crafted: dict[str, bool] = field(default_factory=dict)


class Planner:
    """Looks at a grid's cells and into the cache.

    Args:
        grid: the cells.
        tasks: knows what each of them needs.
        context: where that is kept.
    """

    def __init__(self, grid: Grid, tasks: CellTasks, context: TaskContext) -> None:
        self._grid, self._tasks, self._context = grid, tasks, context

    def plan(self, recorded: Callable[[Cell], bool]) -> Plan:
        """Count what there is to do but for cells that are recorded.

        Loads the data; nothing is computed.
        """
        plan = Plan()
        for cell in self._grid.cells():
            plan.cells += 1
            if recorded(cell):
                plan.recorded += 1
            elif _applies(cell):
                self._note(cell, plan)
        return plan

    def _note(self, cell: Cell, plan: Plan) -> None:
        """Note what one cell needs.

        What depends on a network still to be trained has no key yet, and is not cached.
        """
        where = f"on {cell.dataset}, seed {cell.seed}"
        task = self._tasks.classifier_task(cell)
        classifier = self._stored(task)
        plan.networks[task.key] = (
            f"classifier {cell.classifier.label} {where}",
            classifier is not None,
        )
        defense = self._note_defense(cell, classifier, plan, where)
        substitute_task, substitute = self._tasks.substitute_task(cell), None
        if substitute_task is not None:
            substitute = self._stored(substitute_task)
            title = f"substitute classifier {substitute_task.plugin.label} {where}"
            plan.networks[substitute_task.key] = (title, substitute is not None)
        uses = cell.threat.kind.uses
        missing = ("purifier" in uses and defense is None) or (
            "substitute" in uses and substitute is None
        )
        if classifier is None or missing:
            sees = cell.threat.kind.sees_defense
            labels = {
                name: value for name, value in cell.labels().items() if name != "defense" or sees
            }
            plan.crafted[content_key(labels)] = False
        else:
            unused = NetworkRef(cell.defense, classifier.info, "", "")
            craft = self._tasks.craft_task(
                cell, CellNetworks(classifier, defense or unused, substitute)
            )
            plan.crafted[craft.key] = self._context.store.digest(craft.kind, craft.key) is not None

    def _note_defense(
        self, cell: Cell, classifier: NetworkRef | None, plan: Plan, where: str
    ) -> NetworkRef | None:
        """Note the cell's defense; returns it where the cache has it."""
        needs_classifier = cell.defense.plugin.uses_classifier
        against = cell.classifier.label if needs_classifier else ""
        title = f"defense {cell.defense.label} {where}" + (
            f", against {against}" if needs_classifier else ""
        )
        if classifier is None and needs_classifier:
            unkeyed = {"plugin": cell.defense.training_identity, "against": against, "where": where}
            plan.networks[content_key(unkeyed)] = (title, False)
            return None
        task = self._tasks.defense_task(cell, classifier)
        defense = self._stored(task)
        if type(cell.defense.plugin).fit is not Network.fit:  # else there is nothing to train
            plan.networks[task.key] = (title, defense is not None)
        return defense

    def _stored(self, task: Train) -> NetworkRef | None:
        """The network, where the cache has it."""
        digest = self._context.store.digest(task.kind, task.key)
        return NetworkRef(task.plugin, task.split.info, task.key, digest) if digest else None


def _applies(cell: Cell) -> bool:
    try:
        cell.threat.check_applies(cell.attack)
    except NotApplicable:
        return False
    return True
