"""The tables of the adaptive attack: members, what they broke and what they cost."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.records.cell import CascadeMember
from bench.records.folder import RunFolder
from bench.report import Report, print_tables, write_report
from bench.report.cascade.tables import costs_table, members_table


@pytest.fixture
def run(made: Any, adaptive: Any, tmp_path: Path) -> RunFolder:
    """A gray-box and an adaptive cell of one defense, and one that is broken from the start."""
    folder = RunFolder.create(tmp_path / "run", {})
    unbroken = (
        CascadeMember("clean images", "", 20, 20, 0, 0),
        CascadeMember("w", "pgd", 0, 0, 0, 0),
    )
    for cell in (
        made.cell(np.arange(20) < 15),
        adaptive(np.arange(20) < 10),
        adaptive(np.zeros(20), members=unbroken, defense="broken"),
    ):
        folder.save(cell.record, cell.outcome)
    return folder


def test_each_member_has_a_row_with_its_calls_for_each_attacked_image(run: RunFolder) -> None:
    frame = Report.of(run).cascade
    rows = frame[frame["defense"] == "d"]
    assert rows["member"].tolist() == [
        *("clean images", "whitebox", "stand-in mixture", "scores", "latent search")
    ]
    assert rows["attack"].tolist() == ["", "apgd", "apgd", "square:queries=10", "latent"]
    assert rows["attacked"].tolist() == [20, 19, 17, 10, 10]
    assert rows["broken"].tolist() == [1, 2, 7, 0, 0]
    assert rows["forward_per_image"].iloc[:4].tolist() == [0, 100, 100, 500]
    assert rows["backward_per_image"].iloc[:4].tolist() == [0, 60, 30, 0]
    assert rows[["forward_per_image", "backward_per_image"]].iloc[4].isna().all()
    assert rows["reason"].tolist() == [*[""] * 4, "the purifier has no generator"]
    assert frame.loc[frame["member"] == "w", "forward_per_image"].isna().all()


def test_the_short_table_sums_over_members(run: RunFolder) -> None:
    table = costs_table(Report.of(run).cascade).set_index("defense")
    columns = ["broken", "most by", "forward", "backward", "not applied"]
    assert table.loc["d", columns].tolist() == [*("9 of 19", "stand-in mixture", "430", "82.5", 1)]
    assert table.loc["broken", columns].tolist() == ["0 of 0", "", "0", "0", 0]


def test_members_and_costs_lie_in_files(run: RunFolder) -> None:
    report = write_report(run)
    tables = run.path / "tables"
    assert len(pd.read_csv(tables / "cascade.csv")) == 7
    assert "the purifier has no generator" in (tables / "cascade.md").read_text()
    assert len(members_table(report.cascade)) == 7
    buffer = io.StringIO()
    print_tables(Console(file=buffer, width=250), report)
    assert "Adaptive attack: images broken" not in buffer.getvalue()
    print_tables(Console(file=buffer, width=250), report, every=True)
    assert "Adaptive attack: images broken" in buffer.getvalue()


def test_a_run_without_an_adaptive_cell_has_no_such_table(made: Any, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    folder.save(made.record(), made.outcome(np.ones(20)))
    write_report(folder)
    assert not list((folder.path / "tables").glob("cascade*"))
