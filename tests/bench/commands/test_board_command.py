"""`bench board`: what it prints and writes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.records.folder import RunFolder


@pytest.fixture
def runs(made: Any, tmp_path: Path) -> list[Path]:
    """Two runs on the same images; the second has a name that HTML and Markdown could obey."""
    paths = [tmp_path / "first", tmp_path / "<b>second | *x*"]
    for number, path in enumerate(paths):
        folder = RunFolder.create(path, {"x": number})
        for defense, count in {"none": 20, "convae": 90 + number}.items():
            cell = made.cell(np.arange(200) < count, defense=defense, threat="whitebox")
            folder.save(cell.record, cell.outcome)
    return paths


def test_the_board_is_printed_and_written(
    bench: Callable[..., Any], runs: list[Path], tmp_path: Path
) -> None:
    done = bench("board", *runs, "--html", "--out", tmp_path / "board")
    assert (done.code, "Traceback" in done.err) == (0, False), done.err
    assert "Worst case: digits, cnn, linf, eps 0.1; 200 images" in done.out
    frame = pd.read_csv(tmp_path / "board" / "tables" / "board.csv")
    ours = frame[~frame["published"]]
    assert list(ours["place"]) == [1, 1, 3, 3]
    assert list(ours["source"]) == ["<b>second | *x*", "first", "first", "<b>second | *x*"]
    page = (tmp_path / "board" / "board.html").read_text()
    assert "&lt;b&gt;second | *x*" in page
    assert "<b>second" not in page
    assert 'id="plotly-gzip"' not in page, "no figure, no library"
    markdown = (tmp_path / "board" / "tables" / "board_1.md").read_text()
    assert r"\<b>second \| \*x\*" in markdown


def test_a_narrow_terminal_keeps_the_worst_case(
    bench: Callable[..., Any], made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(tmp_path / "a-run-whose-name-is-as-long-as-that-of-others", {})
    for count, defense in ((20, "none"), (90, "defensegan:restarts=4:steps=20")):
        cell = made.cell(np.arange(200) < count, defense=defense, threat="whitebox")
        folder.save(cell.record, cell.outcome)
    monkeypatch.setenv("COLUMNS", "80")
    done = bench("board", folder.path)
    assert "0.450 ±0.06" in done.out
    assert "seeds" not in done.out
    assert f"The board is in {Path('results/board/tables')}" in done.err


def test_the_page_is_written_on_request_only(
    bench: Callable[..., Any], runs: list[Path], tmp_path: Path
) -> None:
    assert bench("board", runs[0]).code == 0
    assert [path.name for path in (tmp_path / "results" / "board").iterdir()] == ["tables"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["first", "first"], "first is there twice"),
        (["first", "./first/../first"], "is there twice"),
        (["first", "nothing"], "nothing"),
    ],
)
def test_a_wrong_request_is_one_line(
    bench: Callable[..., Any], runs: list[Path], arguments: list[str], message: str
) -> None:
    done = bench("board", *arguments)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_runs_without_a_number_have_no_board(
    bench: Callable[..., Any], made: Any, tmp_path: Path
) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    folder.save(made.record("a", status="failed", reason="no luck"), None)
    done = bench("board", "run")
    assert done.code == 2
    assert "no cell is ok" in done.err


def test_runs_of_one_name_are_told_apart(
    bench: Callable[..., Any], made: Any, tmp_path: Path
) -> None:
    for parent in ("a", "b"):
        (tmp_path / parent).mkdir()
        folder = RunFolder.create(tmp_path / parent / "run", {})
        cell = made.cell(np.arange(20) < 5, threat="whitebox")
        folder.save(cell.record, cell.outcome)
    done = bench("board", "a/run", "b/run")
    assert done.code == 0
    frame = pd.read_csv(tmp_path / "results" / "board" / "tables" / "board.csv")
    assert list(frame["source"][:2]) == ["a/run", "b/run"]
