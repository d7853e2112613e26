"""The adversarial sets of cells, within their budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.records.cell import CascadeMember
from bench.stages.craft import Craft, ProjectToBudget
from bench.stages.executor import Executor
from bench.stages.references import AdversarialRef, CellNetworks
from bench.store.artifacts import Tensors
from bench.sweep.cascade_tasks import CascadeTasks
from bench.sweep.cell import Cell


@dataclass(frozen=True)
class CellSet:
    """The adversarial images of a cell.

    Attributes:
        reference: adversarial set that is evaluated.
        tensors: arrays of the adversarial set.
        nearest: set before the projection to the budget; only for `MinimumNorm`.
        members: members of the cascade that made the set; empty for a single attack.
    """

    reference: AdversarialRef
    tensors: Tensors
    nearest: CellSet | None = None
    members: tuple[CascadeMember, ...] = ()


class CellSets:
    """Asks an executor for the adversarial sets of cells.

    Args:
        executor: executor that runs the tasks.
        cascades: tasks of cascades.
        craft: function that makes the task of a cell's adversarial set for n images (None: all).
    """

    def __init__(
        self,
        executor: Executor,
        cascades: CascadeTasks,
        craft: Callable[[Cell, CellNetworks, int | None], Craft],
    ) -> None:
        self._executor = executor
        self._cascades = cascades
        self._craft = craft

    def of(self, cell: Cell, networks: CellNetworks, n: int | None = None) -> CellSet:
        """The adversarial images of the first n test images.

        Args:
            cell: cell of the grid.
            networks: networks of the cell.
            n: number of test images to attack; None for all, as a cascade always does.

        Raises:
            NotApplicable: the model lacks something that the attack needs.
            PluginFault: a plugin raised or broke its contract.
        """
        if cell.threat.kind.cascade:
            left = self._cascades.run(cell, networks)
            return CellSet(left.reference, left.artifact.tensors, members=left.members)

        task = self._craft(cell, networks, n)
        artifact = self._executor.artifact(task)
        crafted = CellSet(AdversarialRef(task.key, artifact.digest), artifact.tensors)

        norm = cell.attack.plugin.ball()
        if task.eps is not None or norm is None:
            return crafted

        projection = ProjectToBudget(crafted.reference, task.split, cell.eps, norm)
        projected = self._executor.artifact(projection)
        reference = AdversarialRef(projection.key, projected.digest)

        return CellSet(reference, projected.tensors, nearest=crafted)
