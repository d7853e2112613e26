"""The tasks of a cell: its networks, its adversarial set, and what is computed from them."""

from __future__ import annotations

from bench.contracts import MinimumNorm
from bench.records.outcome import CellResult
from bench.stages.context import DamagedArtifact, TaskContext
from bench.stages.craft import Craft
from bench.stages.executor import Executor
from bench.stages.references import CellNetworks, NetworkRef, SplitRef
from bench.stages.train import Train
from bench.sweep.cascade_tasks import CascadeTasks
from bench.sweep.cell import Cell
from bench.sweep.cell_outcomes import CellOutcomes
from bench.sweep.cell_predictions import CellPredictions
from bench.sweep.cell_sets import CellSets
from bench.sweep.clean import CleanAccuracy
from bench.sweep.config import RunConfig
from bench.sweep.convergence import ConvergenceCheck
from bench.sweep.demand import together
from bench.sweep.probes import CellProbes


class CellTasks:
    """Builds the tasks of cells and asks an executor for their artifacts.

    Args:
        executor: executor that runs the tasks.
        context: data sets and networks.
        config: number of test images, of draws, and of images for the convergence check.
    """

    def __init__(self, executor: Executor, context: TaskContext, config: RunConfig) -> None:
        self._executor = executor
        self._context = context
        self._config = config
        self.cascades = CascadeTasks(executor, context, config, self.craft_task)
        sets = CellSets(executor, self.cascades, self.craft_task)
        predictions = CellPredictions(executor, context, config)
        probes = CellProbes(executor, context, config, self.craft_task)
        self._convergence = ConvergenceCheck(predictions, context, config, sets)
        self._outcomes = CellOutcomes(context, config, sets, predictions, self._convergence, probes)

    @property
    def convergence_images(self) -> int:
        """The number of images that the convergence check attacks with twice the steps."""
        return self._convergence.images

    def cell_key(self, cell: Cell) -> str:
        """The content key of the cell: everything its outcome depends on, before any training."""
        data = self._train_split(cell).digest + self._test_split(cell).digest
        protocol = {
            "batch_size": self._config.batch_size,
            "draws": self._config.draws,
            "convergence": self._config.convergence,
        }

        return cell.key(data, protocol)

    def test_digest(self, cell: Cell) -> str:
        """The digest of the test images that the cell is evaluated on."""
        return self._test_split(cell).digest

    def classifier_task(self, cell: Cell) -> Train:
        """The task that trains the cell's classifier."""
        return Train(cell.classifier, self._train_split(cell), cell.seed)

    def defense_task(self, cell: Cell, classifier: NetworkRef | None) -> Train:
        """The task that trains the cell's defense.

        Args:
            cell: cell of the grid.
            classifier: trained classifier; only needed for a defense with `uses_classifier`.
        """
        against = classifier if cell.defense.plugin.uses_classifier else None
        return Train(cell.defense, self._train_split(cell), cell.seed, against)

    def substitute_task(self, cell: Cell) -> Train | None:
        """The task that trains the substitute that the cell's threat model attacks, if any."""
        substitute = cell.threat.substitute
        if substitute is None:
            return None

        # The role gives the substitute other randomness than the same plugin has as the classifier.
        return Train(substitute, self._train_split(cell), cell.seed, role="substitute")

    def craft_task(self, cell: Cell, networks: CellNetworks, n: int | None = None) -> Craft:
        """The task that crafts the cell's adversarial set.

        Args:
            cell: cell of the grid.
            networks: networks of the cell; those that its threat model does not use are left out.
            n: number of test images to attack; None for all.
        """
        uses = cell.threat.kind.uses
        attacks = cell.threat.kind.surrogate is not None
        nearest = isinstance(cell.attack.plugin, MinimumNorm) and attacks

        return Craft(
            attack=cell.attack,
            eps=None if nearest else cell.eps,
            threat=cell.threat,
            split=self._test_split(cell, n),
            classifier=networks.classifier if "classifier" in uses else None,
            purifier=networks.defense if "purifier" in uses else None,
            substitute=networks.substitute if "substitute" in uses else None,
            batch_size=self._config.batch_size,
            seed=cell.seed,
        )

    def networks(self, cell: Cell) -> CellNetworks:
        """The cell's networks, trained now where the cache lacks them.

        Raises:
            PluginFault: a network failed to train.
        """
        substitute = self.substitute_task(cell)
        found: dict[str, NetworkRef] = together(
            lambda: {"classifier": self.network(self.classifier_task(cell))},
            lambda: {"defense": self.network(self.defense_task(cell, self._opponent(cell)))},
            lambda: {"substitute": self.network(substitute)} if substitute else {},
        )

        return CellNetworks(**found)

    def _opponent(self, cell: Cell) -> NetworkRef | None:
        """The trained classifier that the cell's defense uses in training, if it uses one."""
        if not cell.defense.plugin.uses_classifier:
            return None
        return self.network(self.classifier_task(cell))

    def repair(self, damage: DamagedArtifact) -> None:
        """Make a damaged network again; see `Executor.repair`."""
        self._executor.repair(damage)

    def network(self, task: Train) -> NetworkRef:
        """One network, trained now where the cache lacks it."""
        return NetworkRef(task.plugin, task.split.info, task.key, self._executor.digest(task))

    def clean_accuracy(self, cell: Cell, networks: CellNetworks) -> CleanAccuracy:
        """See `CellOutcomes.clean_accuracy`."""
        return self._outcomes.clean_accuracy(cell, networks)

    def result(self, cell: Cell, networks: CellNetworks) -> CellResult:
        """See `CellOutcomes.of`."""
        return self._outcomes.of(cell, networks)

    def _train_split(self, cell: Cell) -> SplitRef:
        return self._context.split(cell.dataset, None)

    def _test_split(self, cell: Cell, n: int | None = None) -> SplitRef:
        return self._context.split(cell.dataset, n or self._config.n)
