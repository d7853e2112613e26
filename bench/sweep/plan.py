"""The plan of a run: its networks and adversarial sets, each cached or still to be made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.contracts import Network
from bench.errors import NotApplicable
from bench.plugins.configured import Configured
from bench.stages.context import TaskContext
from bench.stages.references import CellNetworks, NetworkRef
from bench.stages.train import Train
from bench.store.keys import content_key
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.costs import PlannedCell
from bench.sweep.grid import Grid


class PlannedNetwork(NamedTuple):
    """A network that a run needs.

    Attributes:
        title: role, plugin, data set and seed of the network.
        cached: whether the cache has the network.
        trains: whether its plugin trains it; another one comes as it is.
    """

    title: str
    cached: bool
    trains: bool = True


@dataclass
class Plan:
    """The work of a run, before any of it is done.

    Attributes:
        cells: number of cells.
        recorded: number of cells that the run's folder already holds.
        cells_left: cells that are still to be run, in their order.
        networks: networks of the remaining cells, by key.
        adversarial_sets: adversarial sets of the remaining cells, by key: whether the cache has
            the set.
        convergence_sets: adversarial sets of the convergence check, as `adversarial_sets`.
    """

    cells: int = 0
    recorded: int = 0
    cells_left: list[PlannedCell] = field(default_factory=list)
    networks: dict[str, PlannedNetwork] = field(default_factory=dict)
    adversarial_sets: dict[str, bool] = field(default_factory=dict)
    convergence_sets: dict[str, bool] = field(default_factory=dict)


class _CachedNetworks(NamedTuple):
    """The networks of a cell; None for one that the cache lacks or the cell does not have."""

    classifier: NetworkRef | None
    defense: NetworkRef | None
    substitute: NetworkRef | None


class Planner:
    """Plans a run from the cells of its grid and the content of the cache.

    Args:
        grid: cells of the run.
        tasks: builder of the cells' tasks.
        context: cache of networks and adversarial sets.
    """

    def __init__(self, grid: Grid, tasks: CellTasks, context: TaskContext) -> None:
        self._grid = grid
        self._tasks = tasks
        self._context = context

    def plan(self, is_recorded: Callable[[Cell], bool]) -> Plan:
        """The plan for all cells that are not recorded; loads the data and computes nothing."""
        plan = Plan()
        for cell in self._grid.cells():
            plan.cells += 1
            if is_recorded(cell):
                plan.recorded += 1
            elif _applies(cell):
                self._add(cell, plan)

        return plan

    def _add(self, cell: Cell, plan: Plan) -> None:
        """Add everything that a cell needs to the plan."""
        networks = self._add_networks(cell, plan)
        key, cached = self._adversarial_set(cell, networks)
        plan.cells_left.append(PlannedCell(cell, not cached and key not in plan.adversarial_sets))
        plan.adversarial_sets[key] = cached

        images = self._tasks.convergence_images
        for variant in cell.stronger_variants().values() if images else ():
            key, cached = self._adversarial_set(variant, networks, images)
            plan.convergence_sets[key] = cached

    def _add_networks(self, cell: Cell, plan: Plan) -> _CachedNetworks:
        task = self._tasks.classifier_task(cell)
        classifier = self._cached(task)
        title = f"classifier {cell.classifier.label} {_where(cell)}"
        plan.networks[task.key] = PlannedNetwork(
            title, classifier is not None, _is_trained(cell.classifier)
        )

        defense = self._add_defense(cell, classifier, plan)

        substitute = None
        substitute_task = self._tasks.substitute_task(cell)
        if substitute_task is not None:
            substitute = self._cached(substitute_task)
            title = f"substitute classifier {substitute_task.plugin.label} {_where(cell)}"
            plan.networks[substitute_task.key] = PlannedNetwork(
                title, substitute is not None, _is_trained(substitute_task.plugin)
            )

        return _CachedNetworks(classifier, defense, substitute)

    def _add_defense(
        self, cell: Cell, classifier: NetworkRef | None, plan: Plan
    ) -> NetworkRef | None:
        title = f"defense {cell.defense.trained.label} {_where(cell)}"
        against = ""
        if cell.defense.plugin.uses_classifier:
            against = cell.classifier.label
            title += f", trained with classifier {against}"

        # Without its classifier a defense has no key yet, so the cache cannot have it.
        if against and classifier is None:
            identity = cell.defense.training_identity
            key = content_key({"plugin": identity, "against": against, "where": _where(cell)})
            plan.networks[key] = PlannedNetwork(title, cached=False)
            return None

        task = self._tasks.defense_task(cell, classifier)
        defense = self._cached(task)
        if _is_trained(cell.defense.trained):
            plan.networks[task.key] = PlannedNetwork(title, defense is not None)

        return defense

    def _adversarial_set(
        self, cell: Cell, networks: _CachedNetworks, n: int | None = None
    ) -> tuple[str, bool]:
        """The key of the adversarial set for n images (None: all), and whether it is cached."""
        uses = cell.threat.kind.uses
        defense = networks.defense
        lacks_defense = "purifier" in uses and defense is None
        lacks_substitute = "substitute" in uses and networks.substitute is None

        # Without its networks a set has no key yet; its labels count it once in the meantime.
        if networks.classifier is None or lacks_defense or lacks_substitute:
            labels = cell.labels()
            if not cell.threat.kind.sees_defense:
                del labels["defense"]
            return content_key(labels), False

        unused = NetworkRef(cell.defense, networks.classifier.info, key="", digest="")
        references = CellNetworks(networks.classifier, defense or unused, networks.substitute)
        if cell.threat.kind.cascade:
            cached = self._tasks.cascades.first_step_is_cached(cell, references)
            return content_key(cell.labels()), cached

        task = self._tasks.craft_task(cell, references, n)

        return task.key, self._context.store.digest(task.kind, task.key) is not None

    def _cached(self, task: Train) -> NetworkRef | None:
        """The network of a task; None where the cache lacks it."""
        digest = self._context.store.digest(task.kind, task.key)
        return NetworkRef(task.plugin, task.split.info, task.key, digest) if digest else None


def _where(cell: Cell) -> str:
    return f"on {cell.dataset}, seed {cell.seed}"


def _is_trained(network: Configured[Network]) -> bool:
    """Whether a defense or classifier has something to train."""
    return type(network.plugin).fit is not Network.fit


def _applies(cell: Cell) -> bool:
    try:
        cell.threat.check_applies(cell.attack)
    except NotApplicable:
        return False
    return True
