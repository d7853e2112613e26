"""The costs of cells: kept in the cache, taken over from cells alike, unknown otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.store.artifacts import ArtifactStore
from bench.sweep.config import RunConfig
from bench.sweep.costs import CellCosts, PlannedCell, TimeLeft
from bench.sweep.grid import Grid

CONFIG = RunConfig(
    defenses=("none", "median"), attacks=("fgsm",), eps=(0.1, 0.2), seeds=(0, 1), n=50
)


@pytest.fixture
def cells() -> list[PlannedCell]:
    """The cells of two defenses, budgets and seeds; none crafts."""
    return [PlannedCell(cell, crafts=False) for cell in Grid.of(CONFIG).cells()]


def costs(path: Path, config: RunConfig = CONFIG, device: str = "a processor") -> CellCosts:
    context: Any = SimpleNamespace(store=ArtifactStore(path))
    return CellCosts(context, config, device)


def of(cells: list[PlannedCell], defense: str) -> list[PlannedCell]:
    return [each for each in cells if each.cell.defense.label == defense]


def test_nothing_is_known_before_anything_was_run(cells: list[PlannedCell], tmp_path: Path) -> None:
    assert costs(tmp_path).left(cells) == TimeLeft(0.0, unknown=8, cells=8)
    assert costs(tmp_path).left([]) == TimeLeft(0.0, unknown=0, cells=0)


def test_a_cost_holds_for_other_budgets_seeds_and_numbers_of_images(
    cells: list[PlannedCell], tmp_path: Path
) -> None:
    none = of(cells, "none")
    costs(tmp_path).note(none[0], 10.0)
    assert costs(tmp_path).left(none) == TimeLeft(40.0, unknown=0, cells=4)
    twice = CONFIG.model_copy(update={"n": 100})
    assert costs(tmp_path, twice).left(none[:1]).seconds == pytest.approx(20.0)


def test_a_cell_alike_costs_as_much_in_the_same_run_only(
    cells: list[PlannedCell], tmp_path: Path
) -> None:
    none, median = of(cells, "none"), of(cells, "median")
    measured = costs(tmp_path)
    measured.note(none[0], 10.0)
    assert measured.left(median) == TimeLeft(40.0, unknown=0, cells=4)
    assert costs(tmp_path).left(median) == TimeLeft(0.0, unknown=4, cells=4)
    measured.note(median[0], 30.0)
    assert measured.left(cells).seconds == pytest.approx(4 * 10 + 4 * 30)


def test_another_device_or_work_is_another_cost(cells: list[PlannedCell], tmp_path: Path) -> None:
    first = cells[:1]
    costs(tmp_path).note(first[0], 10.0)
    assert costs(tmp_path, device="another").left(first).unknown == 1
    assert costs(tmp_path).left([replace(first[0], crafts=True)]).unknown == 1
    more_draws = CONFIG.model_copy(update={"draws": 9})
    assert costs(tmp_path, more_draws).left(first).unknown == 1


def test_a_cache_that_cannot_be_written_spoils_no_run(
    cells: list[PlannedCell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = costs(tmp_path)
    monkeypatch.setattr(measured._context.store, "_writable", False)
    measured.note(cells[0], 10.0)
    assert measured.left(cells[:1]).seconds == pytest.approx(10.0)
