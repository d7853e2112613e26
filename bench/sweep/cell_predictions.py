"""The predictions of a cell's networks, with and without the defense, in all draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import PluginFault
from bench.stages.context import TaskContext
from bench.stages.executor import Executor
from bench.stages.predict import CONFIDENCE, EXTRA, Predict
from bench.stages.references import AdversarialRef, CellNetworks, NetworkRef, is_stochastic
from bench.store.artifacts import Artifact
from bench.sweep.cell import Cell
from bench.sweep.config import RunConfig
from bench.sweep.demand import together

CLASS = np.int16
"""Type of the classes in outcomes, small since a run keeps very many of them."""


@dataclass(frozen=True)
class Defended:
    """What a pipeline gives for n images in m draws.

    Attributes:
        predictions: predicted classes, (m, n), `REJECTED` for a rejected image.
        purified: first purified images of draw 0, (k, c, h, w).
        extras: further numbers of each image by name, float32 (m, n).
        confidence: largest probability of a class, float32 (m, n); None where an earlier version
            stored the predictions of a draw.
    """

    predictions: NDArray[Any]
    purified: NDArray[Any]
    extras: Mapping[str, NDArray[Any]]
    confidence: NDArray[Any] | None


class CellPredictions:
    """Asks an executor for the predictions of cells.

    Args:
        executor: executor that runs the tasks.
        context: data sets.
        config: number of test images and of draws, and size of batches.
    """

    def __init__(self, executor: Executor, context: TaskContext, config: RunConfig) -> None:
        self._executor = executor
        self._context = context
        self._config = config

    def undefended(
        self,
        cell: Cell,
        networks: CellNetworks,
        adversarial: AdversarialRef | None,
        n: int | None = None,
    ) -> NDArray[Any]:
        """Predictions of the bare classifier, (n,); of a randomized one, (draws, n).

        Args:
            cell: cell of the grid.
            networks: networks of the cell.
            adversarial: adversarial set to classify; None for the clean images.
            n: number of test images; None for all.
        """
        task = self._predict_task(cell, networks.classifier, None, adversarial, n)
        if is_stochastic(networks.classifier):
            return self._in_draws(cell, task, self._draws(cell, networks)).predictions

        return self._executor.artifact(task).tensors["predictions"].astype(CLASS)

    def defended(
        self,
        cell: Cell,
        networks: CellNetworks,
        adversarial: AdversarialRef | None,
        n: int | None = None,
    ) -> Defended:
        """What the defended pipeline gives; the arguments are those of `undefended`."""
        task = self._predict_task(cell, networks.classifier, networks.defense, adversarial, n)
        return self._in_draws(cell, task, self._draws(cell, networks))

    def _draws(self, cell: Cell, networks: CellNetworks) -> int:
        """Number of draws of the pipeline: one if it is deterministic, or its draw is known."""
        is_random = is_stochastic(networks.classifier, networks.defense)
        return self._config.draws if is_random and not cell.threat.fixed_draw else 1

    def _in_draws(self, cell: Cell, task: Predict, draws: int) -> Defended:
        """What a task gives in several draws."""
        task = replace(task, is_fixed_draw=cell.threat.fixed_draw)
        artifacts = list(
            together(*(partial(self._of_draw, task, i) for i in range(draws))).values()
        )

        def stacked(name: str) -> NDArray[Any]:
            return np.stack([artifact.tensors[name] for artifact in artifacts])

        first = artifacts[0].tensors
        told = [{name for name in each.tensors if name.startswith(EXTRA)} for each in artifacts]
        extras = sorted(told[0])
        if any(names != told[0] for names in told):
            raise PluginFault(
                f"{cell.defense.label} tells other numbers of the images in another draw: give NaN "
                "where there is none"
            )
        has_confidence = all(CONFIDENCE in artifact.tensors for artifact in artifacts)
        return Defended(
            predictions=stacked("predictions").astype(CLASS),
            purified=first["purified"],
            extras={name.removeprefix(EXTRA): stacked(name) for name in extras},
            confidence=stacked(CONFIDENCE) if has_confidence else None,
        )

    def _of_draw(self, task: Predict, draw: int) -> dict[int, Artifact]:
        """The artifact of a task in one draw, by the draw."""
        return {draw: self._executor.artifact(replace(task, draw=draw))}

    def _predict_task(
        self,
        cell: Cell,
        classifier: NetworkRef,
        purifier: NetworkRef | None,
        adversarial: AdversarialRef | None,
        n: int | None,
    ) -> Predict:
        return Predict(
            split=self._context.split(cell.dataset, n or self._config.n),
            adversarial_set=adversarial,
            classifier=classifier,
            purifier=purifier,
            batch_size=self._config.batch_size,
            seed=cell.seed,
        )
