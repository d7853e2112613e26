"""Reasons of marks: those of the row that they stand in, whatever its place in the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from bench.records.folder import RunFolder
from bench.report import Report
from bench.report.decision.tables import decision_tables
from bench.report.page.marks import reasons_of
from bench.report.worst_case.tables import worst_case_tables
from bench.report.writers import NamedTable

N = 40
"""Number of images of a run."""


@pytest.mark.parametrize(
    ("tables", "columns"),
    [
        (worst_case_tables, ("worst-case accuracy", "rank")),
        (decision_tables, ("rests on",)),
    ],
)
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_a_reason_stands_in_the_row_of_its_defense(
    tables: Callable[[Report], Iterator[NamedTable]],
    columns: tuple[str, ...],
    seeds: tuple[int, ...],
    run_of: Callable[..., RunFolder],
) -> None:
    defenses = ("none", "weak", "strong")  # a table by rank turns them around
    report = Report.of(run_of(defenses, eps=(0.7,), step=12, threats=("graybox",), seeds=seeds))
    (table,) = tables(report)
    shown = list(table.frame["defense"])
    assert shown == len(seeds) * ["strong", "weak", "none"]
    reasons = reasons_of(report, table)
    for column in columns:
        found = [(index, column) in reasons for index in range(len(shown))]
        assert found == [defense != "none" for defense in shown]


def test_a_rank_is_marked_where_a_defense_met_fewer_attacks(
    run_of: Callable[..., RunFolder], made: Any
) -> None:
    folder = run_of(("none", "d1"), eps=(0.3,))
    further = made.cell(np.ones(N), defense="none", attack="further", eps=0.3)
    folder.save(further.record, further.outcome)
    report = Report.of(folder)
    (table,) = worst_case_tables(report)
    marked = [row["rank"].endswith("?") for row in table.frame.to_dict("records")]
    reasons = reasons_of(report, table)
    assert any(marked)
    assert marked == [(index, "rank") in reasons for index in range(len(marked))]
