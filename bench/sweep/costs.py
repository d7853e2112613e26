"""Measured costs: the time that cells took on this device, kept in the cache for later plans."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import StorageError
from bench.stages.context import TaskContext
from bench.store.keys import artifact_key
from bench.sweep.cell import Cell
from bench.sweep.config import RunConfig

_KIND = "cost"

logger = logging.getLogger("bench")


@dataclass(frozen=True)
class PlannedCell:
    """A cell that is still to be run.

    Attributes:
        cell: cell of the grid.
        crafts: whether its adversarial images are made for it; else they are stored already, or an
            earlier cell makes them.
    """

    cell: Cell
    crafts: bool


@dataclass(frozen=True)
class TimeLeft:
    """The time that some cells will take.

    Attributes:
        seconds: sum over the cells whose cost is known.
        unknown: number of the other cells.
        cells: number of all cells.
    """

    seconds: float
    unknown: int
    cells: int


class CellCosts:
    """The costs of cells by what decides them, as seconds per test image.

    A cost of a plugin, data set and device is measured once and kept in the cache; within a run, a
    cell of unknown cost is taken to cost as much as others of the same attack and threat model.

    Args:
        context: cache and device.
        config: number of test images, draws and images of the convergence check.
        device: model name of the device.
    """

    def __init__(self, context: TaskContext, config: RunConfig, device: str) -> None:
        self._context = context
        self._config = config
        self._device = device
        self._keys: dict[tuple[Any, ...], str] = {}
        self._known: dict[str, float | None] = {}
        self._similar: dict[tuple[str, str, bool], tuple[int, float]] = {}

    def note(self, planned: PlannedCell, seconds: float) -> None:
        """Keep the cost of a cell that was run.

        Args:
            planned: the cell.
            seconds: time that it took.
        """
        identity = self._identity(planned)
        key = self._key(planned)
        cost = seconds / self._config.n
        self._known[key] = cost
        cells, total = self._similar.get(_similar(planned), (0, 0.0))
        self._similar[_similar(planned)] = (cells + 1, total + cost)

        meta = {"title": "cost of a cell", "identity": identity, "seconds_per_image": cost}
        try:
            self._context.store.get_or_make(_KIND, key, lambda: ({}, meta))
        except StorageError as error:
            logger.debug("the cost of a cell is not kept: %s", error)

    def left(self, cells: Iterable[PlannedCell]) -> TimeLeft:
        """The time that cells will take, as far as their costs are known."""
        costs = [self._cost(planned) for planned in cells]
        known = [cost for cost in costs if cost is not None]

        return TimeLeft(sum(known) * self._config.n, len(costs) - len(known), len(costs))

    def _cost(self, planned: PlannedCell) -> float | None:
        """Seconds per image of a cell; None where nothing is known of it."""
        key = self._key(planned)
        if key not in self._known:
            stored = self._context.store.load(_KIND, key)
            self._known[key] = float(stored.meta["seconds_per_image"]) if stored else None

        known = self._known[key]
        if known is not None:
            return known

        cells, total = self._similar.get(_similar(planned), (0, 0.0))
        return total / cells if cells else None

    def _key(self, planned: PlannedCell) -> str:
        """The key of the cost of a cell, which is computed once for all cells of equal cost."""
        cell = planned.cell
        plugins = (cell.classifier, cell.defense, cell.attack, cell.threat)
        alike = (cell.dataset, *plugins, planned.crafts)
        if alike not in self._keys:
            self._keys[alike] = artifact_key(_KIND, self._identity(planned))

        return self._keys[alike]

    def _identity(self, planned: PlannedCell) -> Mapping[str, Any]:
        """What decides the cost of a cell: everything but its budget, its seed and its images."""
        cell = planned.cell

        return {
            "dataset": cell.dataset,
            "classifier": cell.classifier.identity,
            "defense": cell.defense.identity,
            "attack": cell.attack.identity,
            "threat": cell.threat.identity,
            "crafts": planned.crafts,
            "draws": self._config.draws,
            "checks": self._config.convergence > 0,
            "device": self._device,
        }


def _similar(planned: PlannedCell) -> tuple[str, str, bool]:
    """What cells of about the same cost have in common."""
    return planned.cell.attack.label, planned.cell.threat.label, planned.crafts
