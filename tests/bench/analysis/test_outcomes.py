"""What follows from a cell's raw outcome image by image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.outcomes import by_pipeline, evaluated_cells
from bench.errors import RequestError
from bench.records.folder import RunFolder
from bench.records.pipeline import Pipeline

DRAWS = [[1, 1, 0, 0], [1, 0, 1, 0]]


def test_images_are_right_draw_by_draw(made: Any) -> None:
    cell = made.cell(DRAWS, clean=[[1, 1, 1, 0], [1, 1, 0, 0]], eps=0.3)
    assert cell.right.tolist() == np.array(DRAWS, bool).tolist()
    assert cell.clean_right.tolist() == [[True, True, True, False], [True, True, False, False]]
    assert cell.eps == 0.3


def test_a_pipeline_is_randomized_if_it_says_so_or_has_several_draws(made: Any) -> None:
    assert made.cell(DRAWS).is_randomized
    assert made.cell([1, 0], stochastic=True).is_randomized
    assert not made.cell([1, 0]).is_randomized


@pytest.mark.parametrize(
    ("threat", "expected"), [("whitebox", DRAWS), ("query", DRAWS), ("graybox", [[0, 1, 0, 1]])]
)
def test_what_was_attacked_is_the_pipeline_where_the_attacker_sees_it_else_the_classifier(
    made: Any, threat: str, expected: list[list[int]]
) -> None:
    cell = made.cell(DRAWS, threat=threat)
    cell.outcome.adversarial_undefended[:] = np.where([0, 1, 0, 1], cell.labels, -1)
    assert cell.attacked_model_right.tolist() == np.array(expected, bool).tolist()


@pytest.mark.parametrize("threat", ["transfer", "noise"])
def test_nobody_has_asked_a_substitute(made: Any, threat: str) -> None:
    assert made.cell(DRAWS, threat=threat).attacked_model_right is None


def test_cells_are_grouped_by_the_pipeline_they_attack(made: Any) -> None:
    cells = [
        made.cell([1], defense=d, seed=s, attack=a)
        for d in "xy"
        for s in (0, 1)
        for a in ("fgsm", "pgd")
    ]
    groups = by_pipeline(cells)
    assert list(groups) == [Pipeline("digits", "cnn", d, s) for d in "xy" for s in (0, 1)]
    assert [len(group) for group in groups.values()] == [2, 2, 2, 2]


def test_only_ok_cells_are_measured_and_a_damaged_outcome_is_told(
    made: Any, tmp_path: Path
) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    folder.save(made.record(), made.outcome(np.ones(20)))
    folder.save(made.record(defense="broken", status="failed", reason="no luck"), None)
    (cell,) = evaluated_cells(folder)
    assert cell.record == made.record()
    (path,) = (folder.path / "cells").glob("*.safetensors")
    path.write_bytes(b"")
    with pytest.raises(RequestError, match="damaged"):
        evaluated_cells(RunFolder.open(folder.path))
