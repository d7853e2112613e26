"""`bench report RUN --against NAME`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bench.commands.report import report
from bench.errors import RequestError
from bench.records.folder import RunFolder


@pytest.fixture
def run(made: Any, tmp_path: Path) -> Path:
    folder = RunFolder.create(tmp_path / "run", {"defenses": ["none"]})
    cell = made.cell([1] * 5 + [0] * 15, dataset="mnist", defense="none", attack="fgsm", eps=0.3)
    folder.save(cell.record, cell.outcome)
    return folder.path


def test_a_report_against_the_paper_adds_to_the_runs_own(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(run, strict=False) == 0
    own = {path.name for path in run.rglob("*.*")}
    assert "Table 1(a)" not in capsys.readouterr().out
    assert report(run, strict=False, against="paper") == 0
    added = {path.name for path in run.rglob("*.*")} - own
    assert {
        "against_paper_table1a.md",
        "against_paper_accuracies.csv",
        "against_paper_cnn.png",
    } <= added
    assert all(name.startswith("against_paper_") for name in added)
    assert "Table 1(a)" in capsys.readouterr().out


def test_a_wrong_name_is_reported_before_anything_is_written(run: Path) -> None:
    with pytest.raises(RequestError, match="did you mean 'paper'"):
        report(run, strict=False, against="papre")
    assert not (run / "tables").exists()


def test_a_report_removes_what_a_killed_process_left(run: Path) -> None:
    left = [run / "cells" / ".a.json.x1.partial", run / "tables" / ".b.csv.x2.partial"]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
        os.utime(path, (1e9, 1e9))  # so old that no process can be writing it
    assert report(run, strict=False) == 0
    assert not any(path.exists() for path in left)
