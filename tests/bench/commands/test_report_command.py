"""`bench report RUN --against NAME`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bench.commands.drawings import Drawings
from bench.commands.report import report
from bench.errors import RequestError, StorageError
from bench.records.folder import RunFolder

NOTHING_DRAWN = Drawings(styles=(), page=False)


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


def test_tables_are_printed_before_anything_is_drawn(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def draw(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("bench.report.save_figures", draw)
    with pytest.raises(StorageError, match="disk is full"):
        report(run, strict=False)
    assert "Accuracy" in capsys.readouterr().out
    assert (run / "tables" / "accuracy.md").is_file()


def test_the_progress_of_drawing_counts_topics_and_names_figures(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.progress._LINE_EVERY_S", 0)
    report(run, strict=False)
    lines = capsys.readouterr().err.splitlines()
    drawn = [line.split()[-1] for line in lines if "figures, by topic: 0/" in line]
    assert [run / "plots" / f"{drawn[0]}.png"] == sorted(
        path for path in (run / "plots").glob("*.png") if path.stem == drawn[0]
    )


@pytest.mark.parametrize("against", [None, "paper"])
def test_a_report_without_plots_has_tables_alone(
    run: Path, capsys: pytest.CaptureFixture[str], against: str | None
) -> None:
    assert report(run, strict=False, against=against, drawings=NOTHING_DRAWN) == 0
    assert (run / "tables" / "accuracy.md").is_file()
    assert (run / "tables" / "against_paper_table1a.md").is_file() == (against is not None)
    assert not (run / "plots").exists()
    assert capsys.readouterr().err == f"Tables are in {run}/tables\n"


@pytest.mark.parametrize(
    ("name", "published"), [("paper", "fashion_mnist, mnist"), ("defensegan", "mnist")]
)
def test_published_figures_on_other_data_are_said_to_be(
    made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, published: str
) -> None:
    folder = RunFolder.create(tmp_path / "run", {"defenses": ["none"]})
    cell = made.cell([1] * 20, dataset="digits", defense="none", attack="fgsm", eps=0.3)
    folder.save(cell.record, cell.outcome)
    assert report(folder.path, strict=False, against=name, drawings=NOTHING_DRAWN) == 0
    captured = capsys.readouterr()
    assert (
        f"nothing to compare with '{name}': its published figures are on {published}, "
        "and this run is on digits\n"
    ) in captured.err
    assert "published" not in captured.out
    assert not list(folder.path.rglob("against_*"))
