"""The tasks of a cell, and the raw outcome computed from their artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.analysis.metrics import accuracy
from bench.contracts import MinimumNorm
from bench.geometry import Norm, distances
from bench.records.cell import CascadeMember
from bench.records.outcome import REJECTED, CellImages, CellResult, Outcome, as_pixels
from bench.stages.context import DamagedArtifact, TaskContext
from bench.stages.craft import Craft, ProjectToBudget
from bench.stages.executor import Executor
from bench.stages.predict import SAMPLES
from bench.stages.references import (
    AdversarialRef,
    CellNetworks,
    NetworkRef,
    SplitRef,
)
from bench.stages.train import Train
from bench.store.artifacts import Tensors
from bench.sweep.cascade_tasks import CascadeTasks
from bench.sweep.cell import Cell
from bench.sweep.cell_predictions import CLASS, CellPredictions
from bench.sweep.clean import CleanAccuracy
from bench.sweep.config import RunConfig
from bench.sweep.convergence import ConvergenceCheck
from bench.sweep.demand import together
from bench.sweep.evaluated import Evaluated
from bench.sweep.probes import CellProbes


@dataclass(frozen=True)
class _Attacked:
    """The adversarial images of a cell.

    Attributes:
        reference: adversarial set that is evaluated.
        tensors: arrays of the adversarial set.
        nearest: adversarial set before the projection to the budget; only for `MinimumNorm`.
        members: members of the cascade that made the set; empty for a single attack.
    """

    reference: AdversarialRef
    tensors: Tensors
    nearest: AdversarialRef | None = None
    members: tuple[CascadeMember, ...] = ()


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
        self._predictions = CellPredictions(executor, context, config)
        self._convergence = ConvergenceCheck(self._predictions, context, config, self._reference)
        self._probes = CellProbes(executor, context, config, self.craft_task)

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
        """The accuracy of the cell's pipeline on the clean test images.

        Raises:
            PluginFault: a plugin raised or broke its contract.
        """
        split = self._test_split(cell)
        labels = self._context.images(split)[1].cpu().numpy()
        predictions = together(
            lambda: {"undefended": self._predictions.undefended(cell, networks, None)},
            lambda: {"defended": self._predictions.defended(cell, networks, None).predictions},
        )

        return CleanAccuracy(
            cell.pipeline,
            accuracy(predictions["undefended"], labels),
            accuracy(predictions["defended"], labels),
            chance=1 / split.info.classes,
        )

    def result(self, cell: Cell, networks: CellNetworks) -> CellResult:
        """The raw outcome of the cell, with its first images.

        Raises:
            NotApplicable: the model lacks something that the attack needs.
            PluginFault: a plugin raised or broke its contract.
        """
        images, labels = self._context.images(self._test_split(cell))
        clean = images.cpu().numpy()
        true_classes = labels.cpu().numpy().astype(CLASS)
        attacked = cache(lambda: self._attacked(cell, networks))
        # The arrays of an outcome, by name, in parts that are independent of each other.
        arrays: dict[str, Any] = together(
            lambda: self._on_adversarial(cell, networks, attacked().reference),
            lambda: self._on_clean(cell, networks),
            lambda: self._minimum_distance(cell, networks, attacked(), clean, true_classes),
            lambda: self._convergence.of(cell, networks, lambda: attacked().reference),
            lambda: self._probed(cell, networks, attacked(), clean),
        )
        purified = arrays.pop("purified")
        outcome = Outcome(labels=true_classes, **_of_set(clean, attacked().tensors), **arrays)
        first_images = CellImages(
            clean=as_pixels(clean[:SAMPLES]),
            adversarial=as_pixels(attacked().tensors["adversarial"][:SAMPLES]),
            purified=as_pixels(purified),
        )

        return CellResult(outcome, first_images, attacked().reference.digest, attacked().members)

    def _on_adversarial(
        self, cell: Cell, networks: CellNetworks, reference: AdversarialRef
    ) -> dict[str, Any]:
        """What the networks give for the adversarial images, and the first purified ones."""

        def defended() -> dict[str, Any]:
            found = self._predictions.defended(cell, networks, reference)
            return {
                "adversarial_defended": found.predictions,
                "adversarial_extras": found.extras,
                "purified": found.purified,
            }

        def undefended() -> dict[str, Any]:
            found = self._predictions.undefended(cell, networks, reference)
            return {"adversarial_undefended": found}

        return together(defended, undefended)

    def _on_clean(self, cell: Cell, networks: CellNetworks) -> dict[str, Any]:
        """What the networks give for the clean images."""

        def defended() -> dict[str, Any]:
            found = self._predictions.defended(cell, networks, None)
            return {"clean_defended": found.predictions, "clean_extras": found.extras}

        def undefended() -> dict[str, Any]:
            return {"clean_undefended": self._predictions.undefended(cell, networks, None)}

        return together(defended, undefended)

    def _probed(
        self, cell: Cell, networks: CellNetworks, attacked: _Attacked, clean: NDArray[Any]
    ) -> dict[str, Any]:
        """The probes of the cell."""
        adversarial = attacked.tensors["adversarial"]
        purified = self._predictions.defended(cell, networks, attacked.reference).purified
        evaluated = Evaluated(cell, networks, attacked.reference, clean, adversarial, purified)

        return {"probes": self._probes.of(evaluated)}

    def _attacked(self, cell: Cell, networks: CellNetworks, n: int | None = None) -> _Attacked:
        """The adversarial images of the first n test images (None: of all)."""
        if cell.threat.kind.cascade:
            left = self.cascades.run(cell, networks)
            return _Attacked(left.reference, left.artifact.tensors, members=left.members)

        task = self.craft_task(cell, networks, n)
        artifact = self._executor.artifact(task)
        crafted = AdversarialRef(task.key, artifact.digest)

        norm = cell.attack.plugin.ball()
        if task.eps is not None or norm is None:
            return _Attacked(crafted, artifact.tensors)

        projection = ProjectToBudget(crafted, task.split, cell.eps, norm)
        projected = self._executor.artifact(projection)
        reference = AdversarialRef(projection.key, projected.digest)

        return _Attacked(reference, projected.tensors, nearest=crafted)

    def _minimum_distance(
        self,
        cell: Cell,
        networks: CellNetworks,
        attacked: _Attacked,
        clean: NDArray[Any],
        labels: NDArray[Any],
    ) -> dict[str, NDArray[Any]]:
        """The distance of the nearest image that fools the defended pipeline, (n,).

        Infinite where none was found; nothing for an attack that does not look for the nearest.
        """
        norm: Norm | None = cell.attack.plugin.ball()
        if attacked.nearest is None or norm is None:
            return {}

        predictions = self._predictions.defended(cell, networks, attacked.nearest).predictions
        nearest = self._context.adversarial_set(attacked.nearest)["adversarial"]
        distance = distances(torch.from_numpy(clean), torch.from_numpy(nearest), norm)

        is_fooled = (predictions != labels) & (predictions != REJECTED)
        return {"minimum_distance": np.where(is_fooled.any(axis=0), distance.numpy(), np.inf)}

    def _reference(self, cell: Cell, networks: CellNetworks, n: int) -> AdversarialRef:
        """The adversarial set of the first n test images."""
        return self._attacked(cell, networks, n).reference

    def _train_split(self, cell: Cell) -> SplitRef:
        return self._context.split(cell.dataset, None)

    def _test_split(self, cell: Cell, n: int | None = None) -> SplitRef:
        return self._context.split(cell.dataset, n or self._config.n)


def _of_set(clean: NDArray[Any], tensors: Tensors) -> dict[str, Any]:
    """The arrays of an outcome that an adversarial set gives by itself."""
    adversarial = tensors["adversarial"]
    delta = (adversarial - clean).reshape(len(clean), -1)

    return {
        "attacked": tensors["attacked"],
        "gradient_norm": tensors["gradient_norm"],
        "linf": np.abs(delta).max(axis=1),
        "l2": np.linalg.norm(delta, axis=1),
        "l1": np.abs(delta).sum(axis=1),
        "l0": _changed_pixels(clean, adversarial),
        "target": _classes_of(tensors, "target"),
        "broken_by": _classes_of(tensors, "broken_by"),
    }


def _changed_pixels(clean: NDArray[Any], adversarial: NDArray[Any]) -> NDArray[Any]:
    """Number of pixels that differ in any channel, float32 (n,)."""
    changed = (clean != adversarial).any(axis=1).reshape(len(clean), -1)
    return np.asarray(changed.sum(axis=1), dtype=np.float32)


def _classes_of(tensors: Tensors, name: str) -> NDArray[Any] | None:
    """An array of small whole numbers of an adversarial set; None where it has none."""
    return tensors[name].astype(CLASS) if name in tensors else None
