"""The raw outcomes of cells, computed from the artifacts of their tasks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.analysis.metrics import accuracy
from bench.geometry import Norm, distances
from bench.records.cell_images import CellImages, as_pixels
from bench.records.outcome import REJECTED, CellResult, Outcome
from bench.stages.context import TaskContext
from bench.stages.predict import SAMPLES
from bench.stages.references import CellNetworks
from bench.store.artifacts import Tensors
from bench.sweep.cell import Cell
from bench.sweep.cell_predictions import CLASS, CellPredictions
from bench.sweep.cell_sets import CellSet, CellSets
from bench.sweep.clean import CleanAccuracy
from bench.sweep.config import RunConfig
from bench.sweep.convergence import ConvergenceCheck
from bench.sweep.demand import together
from bench.sweep.evaluated import Evaluated
from bench.sweep.probes import CellProbes

Arrays = dict[str, Any]


class CellOutcomes:
    """Puts the outcomes of cells together.

    Args:
        context: data sets.
        config: number of test images.
        sets: adversarial sets of cells.
        predictions: predictions of cells.
        convergence: convergence check of cells.
        probes: probes of cells.
    """

    def __init__(
        self,
        context: TaskContext,
        config: RunConfig,
        sets: CellSets,
        predictions: CellPredictions,
        convergence: ConvergenceCheck,
        probes: CellProbes,
    ) -> None:
        self._context = context
        self._config = config
        self._sets = sets
        self._predictions = predictions
        self._convergence = convergence
        self._probes = probes

    def clean_accuracy(self, cell: Cell, networks: CellNetworks) -> CleanAccuracy:
        """The accuracy of the cell's pipeline on the clean test images.

        Raises:
            PluginFault: a plugin raised or broke its contract.
        """
        split = self._context.split(cell.dataset, self._config.n)
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

    def of(self, cell: Cell, networks: CellNetworks) -> CellResult:
        """The raw outcome of the cell, with its first images.

        Raises:
            NotApplicable: the model lacks something that the attack needs.
            PluginFault: a plugin raised or broke its contract.
        """
        split = self._context.split(cell.dataset, self._config.n)
        images, labels = self._context.images(split)
        clean = images.cpu().numpy()
        true_classes = labels.cpu().numpy().astype(CLASS)

        attacked = cache(lambda: self._sets.of(cell, networks))
        arrays = self._arrays(cell, networks, attacked, clean)
        purified = arrays.pop("purified")
        of_nearest = arrays.pop("nearest_defended", None)

        outcome = Outcome(
            labels=true_classes,
            **arrays,
            **_of_set(clean, attacked().tensors),
            minimum_distance=_minimum_distance(cell, attacked(), clean, true_classes, of_nearest),
        )
        first_images = CellImages(
            clean=as_pixels(clean[:SAMPLES]),
            adversarial=as_pixels(attacked().tensors["adversarial"][:SAMPLES]),
            purified=as_pixels(purified),
        )
        return CellResult(outcome, first_images, attacked().reference.digest, attacked().members)

    def _arrays(
        self,
        cell: Cell,
        networks: CellNetworks,
        attacked: Callable[[], CellSet],
        clean: NDArray[Any],
    ) -> Arrays:
        """What the tasks of the cell give, by the names of outcomes.

        Of a cell with several faults, the first in this order is recorded.
        """
        return together(
            lambda: self._adversarial_defended(cell, networks, attacked()),
            lambda: self._clean_defended(cell, networks),
            lambda: {"clean_undefended": self._predictions.undefended(cell, networks, None)},
            lambda: self._adversarial_undefended(cell, networks, attacked()),
            lambda: self._nearest_defended(cell, networks, attacked()),
            lambda: self._convergence.of(cell, networks, attacked),
            lambda: self._probed(cell, networks, attacked(), clean),
        )

    def _adversarial_defended(
        self, cell: Cell, networks: CellNetworks, attacked: CellSet
    ) -> Arrays:
        """What the pipeline gives for the adversarial images, and the first purified ones."""
        found = self._predictions.defended(cell, networks, attacked.reference)
        return {
            "adversarial_defended": found.predictions,
            "adversarial_confidence": found.confidence,
            "adversarial_extras": found.extras,
            "purified": found.purified,
        }

    def _adversarial_undefended(
        self, cell: Cell, networks: CellNetworks, attacked: CellSet
    ) -> Arrays:
        """What the bare classifier gives for the adversarial images."""
        found = self._predictions.undefended(cell, networks, attacked.reference)
        return {"adversarial_undefended": found}

    def _clean_defended(self, cell: Cell, networks: CellNetworks) -> Arrays:
        """What the pipeline gives for the clean images."""
        found = self._predictions.defended(cell, networks, None)
        return {
            "clean_defended": found.predictions,
            "clean_confidence": found.confidence,
            "clean_extras": found.extras,
        }

    def _nearest_defended(self, cell: Cell, networks: CellNetworks, attacked: CellSet) -> Arrays:
        """What the pipeline gives for the images before the projection, if there was one."""
        if attacked.nearest is None:
            return {}

        found = self._predictions.defended(cell, networks, attacked.nearest.reference)
        return {"nearest_defended": found.predictions}

    def _probed(
        self, cell: Cell, networks: CellNetworks, attacked: CellSet, clean: NDArray[Any]
    ) -> Arrays:
        """The probes of the cell."""
        purified = self._predictions.defended(cell, networks, attacked.reference).purified
        evaluated = Evaluated(cell, networks, attacked.reference, clean, attacked.tensors, purified)

        return {"probes": self._probes.of(evaluated)}


def _of_set(clean: NDArray[Any], tensors: Tensors) -> Arrays:
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


def _minimum_distance(
    cell: Cell,
    attacked: CellSet,
    clean: NDArray[Any],
    labels: NDArray[Any],
    predictions: NDArray[Any] | None,
) -> NDArray[Any] | None:
    """The distance of the nearest image that fools the defended pipeline, (n,).

    Infinite where none was found; None for an attack that does not look for the nearest image.

    Args:
        cell: cell of the grid.
        attacked: adversarial images of the cell.
        clean: clean images, (n, c, h, w).
        labels: true classes, (n,).
        predictions: predictions of the pipeline for the nearest images, (draws, n); None where
            there are no such images.
    """
    norm: Norm | None = cell.attack.plugin.ball()
    if attacked.nearest is None or predictions is None or norm is None:
        return None

    nearest = attacked.nearest.tensors["adversarial"]
    distance = distances(torch.from_numpy(clean), torch.from_numpy(nearest), norm)
    is_fooled = (predictions != labels) & (predictions != REJECTED)

    return np.where(is_fooled.any(axis=0), distance.numpy(), np.inf)


def _changed_pixels(clean: NDArray[Any], adversarial: NDArray[Any]) -> NDArray[Any]:
    """Number of pixels that differ in any channel, float32 (n,)."""
    changed = (clean != adversarial).any(axis=1).reshape(len(clean), -1)
    return np.asarray(changed.sum(axis=1), dtype=np.float32)


def _classes_of(tensors: Tensors, name: str) -> NDArray[Any] | None:
    """An array of small whole numbers of an adversarial set; None where it has none."""
    return tensors[name].astype(CLASS) if name in tensors else None
