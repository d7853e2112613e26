"""The convergence check of a cell: its attack again, in stronger variants, on the first images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numpy.typing import NDArray

from bench.stages.context import TaskContext
from bench.stages.references import CellNetworks
from bench.sweep.cell import Cell
from bench.sweep.cell_predictions import CellPredictions
from bench.sweep.cell_sets import CellSet, CellSets
from bench.sweep.config import RunConfig
from bench.sweep.demand import together

Arrays = dict[str, NDArray[Any]]


class ConvergenceCheck:
    """Asks for the predictions of cells under stronger variants of their attacks.

    Args:
        predictions: predictions of cells.
        context: data sets.
        config: number of test images, and of images that the check attacks.
        sets: adversarial sets of cells.
    """

    def __init__(
        self,
        predictions: CellPredictions,
        context: TaskContext,
        config: RunConfig,
        sets: CellSets,
    ) -> None:
        self._predictions = predictions
        self._context = context
        self._config = config
        self._sets = sets

    @property
    def images(self) -> int:
        """The number of images that are attacked again; 0 where there is no check."""
        return min(self._config.convergence, self._config.n)

    def of(self, cell: Cell, networks: CellNetworks, shown: Callable[[], CellSet]) -> Arrays:
        """Predictions for the first images under the stronger variants, by the names of outcomes.

        Args:
            cell: cell of the grid.
            networks: networks of the cell.
            shown: function that gives the adversarial set of the cell itself.
        """
        variants = cell.stronger_variants() if self.images else {}
        return together(
            *(
                partial(self._under, name, variant, networks, shown)
                for name, variant in variants.items()
            )
        )

    def _under(
        self,
        name: str,
        variant: Cell,
        networks: CellNetworks,
        shown: Callable[[], CellSet],
    ) -> Arrays:
        """Predictions under one variant."""
        n = self.images
        reference = self._sets.of(variant, networks, n).reference

        def defended() -> Arrays:
            found = self._predictions.defended(variant, networks, reference, n)
            return {f"{name}_defended": found.predictions}

        if variant.threat.kind.sees_defense:
            return defended()

        undefended = self._predictions.undefended(variant, networks, reference, n)
        of_cell = self._predictions.undefended(variant, networks, shown().reference)
        # All defenses share the set: to evaluate each on it would be most of the check's cost.
        is_lower = self._is_lower(variant, undefended, of_cell)

        return {f"{name}_undefended": undefended, **(defended() if is_lower else {})}

    def _is_lower(self, cell: Cell, variant: NDArray[Any], shown: NDArray[Any]) -> bool:
        """Whether a variant's predictions on the first images (..., k) are right less often."""
        n = variant.shape[-1]
        split = self._context.split(cell.dataset, n)
        labels = self._context.images(split)[1].cpu().numpy()

        return bool((variant == labels).mean() < (shown[..., :n] == labels).mean())
