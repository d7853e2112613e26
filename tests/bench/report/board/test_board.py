"""A board: what it puts side by side, what it keeps apart, and what it says of printed figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.verdict import Verdict
from bench.records.folder import RunFolder
from bench.report.board.board import Board
from bench.report.board.entered import EnteredRun
from bench.report.board.tables import board_tables
from bench.report.published.publication import Publication, PublishedFigure, Source

N = 200
SEEN = {"attack": "pgd", "threat": "whitebox"}
FIGURE = {
    "source": "s2020",
    "table": "2",
    "dataset": "digits",
    "classifier": "VGG",
    "defense": "convae",
    "attack": "fgsm",
    "norm": "linf",
    "epsilon": "0.1",
    "eps": 0.1,
    "scale": "[0, 1]",
    "threat_printed": None,
    "threat": "graybox",
    "accuracy": 0.9,
    "latency_s": None,
    "device": None,
    "evidence": "verified",
    "note": "",
}

Entered = Callable[..., EnteredRun]


@pytest.fixture
def entered(made: Any, tmp_path: Path) -> Entered:
    """A function that makes a run from the number of images right of each defense."""

    def make(
        name: str,
        right: dict[str, int],
        n: int = N,
        network: str = "a",
        data: str = "images",
        seen: bool = True,
        threat: str = SEEN["threat"],
        seeds: tuple[int, ...] = (0,),
        parameters: Any = None,
    ) -> EnteredRun:
        folder = RunFolder.create(tmp_path / name, {"name": name})
        for seed in seeds:
            for defense, count in right.items():
                knows = {**SEEN, "threat": threat} if seen else {}
                labels = {**knows, "defense": defense, "seed": seed, "data": data}
                cell = made.cell(np.arange(n) < count + seed, **labels)
                record = replace(
                    cell.record,
                    networks={"classifier": network * 63 + str(seed)},
                    parameters={"defense": parameters or {}},
                )
                folder.save(record, cell.outcome)
        return EnteredRun.read(name, folder)

    return make


def published(**changes: Any) -> Publication:
    source = Source(
        title="t", authors="a", venue="v", arxiv="2001.00001", code=None, read="all", note=""
    )
    figures = (PublishedFigure(**{**FIGURE, **changes}),)
    return Publication(sources={"s2020": source}, figures=figures)


def places(board: Board, number: int = 0) -> list[tuple[str, str, float]]:
    frame = board.tables[number].frame
    return list(zip(frame["source"], frame["defense"], frame["place"].fillna(0), strict=True))


def test_places_are_given_where_an_interval_lies_above(entered: Entered) -> None:
    first = entered("first", {"a": 190, "b": 100})
    second = entered("second", {"a": 188, "c": 20})
    board = Board.of([first, second], [])
    assert len(board.tables) == 1
    assert places(board) == [
        ("first", "a", 1),
        ("second", "a", 1),
        ("first", "b", 3),
        ("second", "c", 4),
    ]


def test_what_no_attack_saw_has_no_place_and_stands_below(entered: Entered) -> None:
    seen = entered("seen", {"a": 20})
    unseen = entered("unseen", {"a": 190}, seen=False)
    (table,) = Board.of([unseen, seen], []).tables
    rows = table.frame.to_dict("records")
    assert [(row["source"], row["place"] > 0, row["mark"]) for row in rows] == [
        ("seen", True, ""),
        ("unseen", False, "?"),
    ]
    assert rows[1]["basis"] == "gray-box only"


def test_places_under_attacks_of_other_kinds_are_said_to_be_unequal(entered: Entered) -> None:
    first, second = entered("first", {"a": 190}), entered("second", {"a": 100}, threat="bpda")
    for runs, is_said in (([first], False), ([first, second], True)):
        (table,) = board_tables(Board.of(runs, []))
        assert set(table.frame["place"]) == {"1", "2"} if is_said else {"1"}
        assert ("the attack on it was weaker" in table.notes) == is_said


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n": 50}, "other test images: 50 against 200"),
        ({"data": "others"}, "other test images, also 200"),
        ({"network": "b"}, "another trained network of the classifier"),
        ({"seeds": (0, 1)}, "other seeds: 0,1 against 0"),
    ],
)
def test_numbers_that_are_not_comparable_have_tables_of_their_own(
    entered: Entered, changes: dict[str, Any], reason: str
) -> None:
    alike = [entered(name, {"a": 40}) for name in ("first", "second")]
    other = entered("other", {"a": 40}, **changes)
    board = Board.of([other, *alike], [])
    assert [table.apart for table in board.tables] == ["", reason]
    assert set(board.tables[0].frame["source"]) == {"first", "second"}
    first, second = board_tables(board)
    assert reason in second.notes
    assert "not comparable" not in first.notes
    assert list(board.frame["table"]) == [1, 1, 2]


def test_seeds_are_averaged_within_the_widest_interval(entered: Entered) -> None:
    run = entered("run", {"a": 100}, seeds=(0, 1, 2))
    alone = [entered(f"run{count}", {"a": count}) for count in (100, 102)]
    (row,) = Board.of([run], []).frame.to_dict("records")
    low, high = (Board.of([each], []).frame.iloc[0] for each in alone)
    assert row["worst_case_accuracy"] == pytest.approx(101 / N)
    assert row["worst_case_accuracy_low"] == low["worst_case_accuracy_low"]
    assert row["worst_case_accuracy_high"] == high["worst_case_accuracy_high"]
    assert row["seeds"] == 3


def test_a_spec_with_other_parameters_in_another_run_is_named(entered: Entered) -> None:
    runs = [
        entered("first", {"a": 40, "b": 40}, parameters={"steps": 1}),
        entered("second", {"a": 40}, parameters={"steps": 2}),
    ]
    (table,) = board_tables(Board.of(runs, []))
    assert "the same specs with other parameters in another run: a" in table.notes.splitlines()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("?", "the attacker did not know the defense")),
        ({"threat": "bpda"}, ("", "under this attack alone")),
        ({"defense": "none"}, ("", "under this attack alone")),
        ({"scale": "[-1, 1]", "epsilon": "0.2", "eps": 0.2}, ("?", "did not know")),
        (
            {"scale": "unstated", "epsilon": "0.2", "eps": 0.2},
            ("?", "if its epsilon 0.2 is on [-1, 1]"),
        ),
        ({"evidence": "summary"}, ("?", "read in a summary")),
        ({"eps": 0.3, "epsilon": "0.3"}, None),
        ({"dataset": "mnist"}, None),
        ({"norm": "l2"}, None),
    ],
)
def test_published_figures_stand_below_with_their_threat_model(
    entered: Entered, changes: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    (table,) = Board.of([entered("run", {"a": 40})], [published(**changes)]).tables
    rows = [row for row in table.frame.to_dict("records") if row["published"]]
    if expected is None:
        assert not rows
        return
    (row,) = rows
    mark, note = expected
    assert row["mark"] == mark
    assert note in row["note"]
    assert np.isnan(row["place"])
    assert row["basis"] == f"{changes.get('threat', 'graybox')}: fgsm"
    assert row["source"] == "s2020 (arXiv:2001.00001), table 2"


def test_of_several_printed_attacks_the_strongest_counts(entered: Entered) -> None:
    weak, strong = published(), published(attack="pgd", accuracy=0.2, table="3")
    both = replace_figures(weak, (*weak.figures, *strong.figures))
    (table,) = Board.of([entered("run", {"a": 40})], [both]).tables
    (row,) = (row for row in table.frame.to_dict("records") if row["published"])
    assert (row["worst_case_accuracy"], row["basis"]) == (0.2, "graybox: pgd")


def replace_figures(publication: Publication, figures: tuple[PublishedFigure, ...]) -> Publication:
    return Publication(sources=publication.sources, figures=figures)


def test_a_number_whose_verdict_is_doubtful_has_a_mark_and_no_place(
    entered: Entered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bench.report.report.verdicts",
        lambda cells: {
            cell.record.key: Verdict("suspect", ("weaker than under transfer",))
            if cell.record.labels["defense"] == "high"
            else Verdict("ok")
            for cell in cells
        },
    )
    board = Board.of([entered("run", {"none": 20, "high": 180, "low": 90})], ())
    rows = board.frame.set_index("defense")
    assert rows["place"].to_dict() == pytest.approx(
        {"low": 1, "none": 2, "high": math.nan}, nan_ok=True
    )
    assert rows.loc["high", ["mark", "note"]].tolist() == [
        "?",
        "suspect: weaker than under transfer",
    ]
    assert list(rows.index) == ["low", "none", "high"]
