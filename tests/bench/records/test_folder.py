"""The images of a run: stored once per adversarial set, and never needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.outcomes import evaluated_cells
from bench.records.folder import RunFolder
from bench.report import write_report


@pytest.fixture
def run(made: Any, tmp_path: Path) -> Path:
    """Two defenses under one adversarial set, and a third under another."""
    folder = RunFolder.create(tmp_path / "run", {"defenses": ["a", "b", "c"]})
    for defense, adversarial_set in (("a", "1" * 64), ("b", "1" * 64), ("c", "2" * 64)):
        record = made.record(defense, adversarial_set=adversarial_set)
        folder.save(record, made.outcome(np.ones(20)), made.images())
    return folder.path


def test_an_adversarial_set_is_stored_once(run: Path, made: Any) -> None:
    assert len(list((run / "images").glob("*.safetensors"))) == 2 + 3

    for cell in evaluated_cells(RunFolder.open(run)):
        images = cell.images
        assert images is not None
        np.testing.assert_array_equal(images.adversarial, made.images().adversarial)
        np.testing.assert_array_equal(images.purified, made.images().purified)


@pytest.mark.parametrize("damage", ["removed", "truncated", "changed"])
def test_a_report_leaves_out_the_pictures_of_lost_images(
    run: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_report(RunFolder.open(run))
    tables = {path.name: path.read_bytes() for path in (run / "tables").iterdir()}
    assert list((run / "plots").glob("images_*.png"))
    for path in (run / "plots").iterdir():
        path.unlink()

    for path in (run / "images").glob("*.safetensors"):
        content = path.read_bytes()
        path.write_bytes(
            content[: len(content) // 2]
            if damage == "truncated"
            else content[:-1] + bytes([content[-1] ^ 1])
        )
        if damage == "removed":
            path.unlink()
    write_report(RunFolder.open(run))

    assert {path.name: path.read_bytes() for path in (run / "tables").iterdir()} == tables
    assert not list((run / "plots").glob("images_*.png"))
    assert ("damaged images" in caplog.text) == (damage != "removed")
