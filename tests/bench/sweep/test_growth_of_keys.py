"""Keys are computed once for each cell, however often a run asks for them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.store.artifacts import ArtifactStore
from bench.sweep import cell as cell_module
from bench.sweep import costs as costs_module
from bench.sweep.config import resolve
from bench.sweep.costs import CellCosts, PlannedCell
from bench.sweep.grid import Grid
from bench.sweep.presets import read_preset

CONFIG = resolve(
    read_preset("quick"), {"defenses": ("none", "jpeg"), "seeds": (0, 1, 2)}, "preset quick"
)


class Counted:
    """A function that counts its calls."""

    def __init__(self, function: Any) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        return self.function(*arguments)


def test_a_cell_computes_each_key_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(cell_module.content_key)
    monkeypatch.setattr(cell_module, "content_key", counted)
    grid = Grid.of(CONFIG)

    keys = {cell.key("data", {"draws": 1}) for _ in range(3) for cell in grid.cells()}
    assert counted.calls == len(keys) == len(list(grid.cells()))
    others = {cell.key("data", {"draws": 2}) for cell in grid.cells()}
    assert not keys & others


def test_what_is_left_costs_no_key_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(costs_module.artifact_key)
    monkeypatch.setattr(costs_module, "artifact_key", counted)
    context: Any = SimpleNamespace(store=ArtifactStore(tmp_path))
    costs = CellCosts(context, CONFIG, "a processor")
    cells = [PlannedCell(cell, crafts=False) for cell in Grid.of(CONFIG).cells()]

    for done in range(len(cells)):
        costs.left(cells[done:])

    identities = {(each.cell.defense, each.cell.attack, each.cell.threat) for each in cells}
    assert counted.calls == len(identities) < len(cells)
