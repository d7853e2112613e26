"""Shares of a grid: which cells each shard computes, from the configuration of the grid alone.

The cells of a pipeline share its training and often its adversarial sets, so they stay together
where that keeps the shards balanced.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.sweep.config import RunConfig
from bench.sweep.grid import Grid, labels_of
from bench.sweep.shard import Shard
from bench.sweep.static_costs import StaticCosts

_FINER = (1, 2, 4)
"""Numbers of pieces for each shard that are tried; more of them repeat more of the training."""


@dataclass(frozen=True)
class Unit:
    """Cells that share a cost, such as those of a pipeline or a part of them.

    Attributes:
        shared: what the cells share.
        shared_cost: cost that they share, such as that of a training.
        cells: identities of the cells.
        costs: cost of each cell without what is shared.
    """

    shared: Hashable
    shared_cost: int
    cells: tuple[Any, ...]
    costs: tuple[int, ...]

    @property
    def own_cost(self) -> int:
        """The cost of the cells without what they share."""
        return sum(self.costs)

    @property
    def cost(self) -> int:
        """The cost of the unit where nothing of it is there yet."""
        return self.shared_cost + self.own_cost

    def halves(self) -> tuple[Unit, Unit]:
        """The unit cut where its halves differ least; it has two cells at least."""
        before = list(itertools.accumulate(self.costs))[:-1]
        cut = 1 + min(range(len(before)), key=lambda index: abs(2 * before[index] - self.own_cost))

        return (
            replace(self, cells=self.cells[:cut], costs=self.costs[:cut]),
            replace(self, cells=self.cells[cut:], costs=self.costs[cut:]),
        )


def share_of(grid: Grid, config: RunConfig, shard: Shard) -> Grid:
    """The part of a grid that a shard computes; it may have no cell.

    Args:
        grid: cells of the whole run.
        config: number of test images and draws, for the costs of cells.
        shard: shard of the run.
    """
    chosen = shares(_pipelines(grid, config), shard.count)[shard.number - 1]
    return replace(grid, share=frozenset(chosen))


def shares(units: Sequence[Unit], count: int) -> list[list[Any]]:
    """The cells of each shard, balanced by cost.

    Every cell is in exactly one share. Units are cut into pieces where there are fewer of them than
    shards, or where that makes the costliest share smaller. The costliest share exceeds the mean
    by no more than the costliest unit.

    Args:
        units: cells in units, in the order of the grid.
        count: number of shards, at least 1.
    """
    fewest = [max(len(units), finer * count) for finer in _FINER]
    assigned = [_assigned(_cut(units, pieces), count) for pieces in dict.fromkeys(fewest)]

    best = min(assigned, key=lambda shards: max(shard.cost for shard in shards))
    return [shard.cells for shard in best]


@dataclass
class _Load:
    """The work that a shard was given so far."""

    cost: int
    cells: list[Any]


def _cut(units: Iterable[Unit], fewest: int) -> list[Unit]:
    """The units, the costliest cut in halves until there are enough or nothing is left to cut."""
    order = itertools.count()
    whole: list[Unit] = []
    pieces: list[tuple[int, int, Unit]] = []

    def add(unit: Unit) -> None:
        if len(unit.cells) > 1:
            heapq.heappush(pieces, (-unit.own_cost, next(order), unit))
        else:
            whole.append(unit)

    for unit in units:
        add(unit)
    while pieces and len(whole) + len(pieces) < fewest:
        for half in heapq.heappop(pieces)[-1].halves():
            add(half)

    return [*whole, *(unit for _, _, unit in pieces)]


def _assigned(units: Iterable[Unit], count: int) -> list[_Load]:
    """The units given to shards, the costliest first, each where the load is then least.

    A shard that has a unit which shares a cost with the next pays this cost once.
    """
    loads = [_Load(0, []) for _ in range(count)]
    lightest = [(0, index) for index in range(count)]
    holders: dict[Hashable, set[int]] = {}

    for unit in sorted(units, key=lambda unit: (-unit.cost, unit.cells)):
        while lightest[0][0] != loads[lightest[0][1]].cost:  # the load has grown since
            heapq.heappop(lightest)
        holding = holders.setdefault(unit.shared, set())
        index = min(
            {lightest[0][1], *holding},
            key=lambda shard: (_grown(loads[shard], unit, shard in holding), shard),
        )
        loads[index].cost = _grown(loads[index], unit, index in holding)
        loads[index].cells.extend(unit.cells)
        holding.add(index)
        heapq.heappush(lightest, (loads[index].cost, index))

    return loads


def _grown(load: _Load, unit: Unit, holds: bool) -> int:
    return load.cost + (unit.own_cost if holds else unit.cost)


def _pipelines(grid: Grid, config: RunConfig) -> list[Unit]:
    """The cells of a whole grid by pipeline."""
    costs = StaticCosts(config)
    units = []
    for pipeline, cells in itertools.groupby(grid.whole.cells(), lambda cell: cell.pipeline):
        members = list(cells)
        units.append(
            Unit(
                pipeline,
                costs.training(members[0]),
                tuple(labels_of(cell) for cell in members),
                tuple(costs.cell(cell) for cell in members),
            )
        )

    return units
