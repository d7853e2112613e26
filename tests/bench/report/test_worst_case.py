"""The worst case against hand computations, and what must hold of any."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.checks import verdicts
from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.verdict import Verdict
from bench.report.looks import DefenseLooks
from bench.report.naming import RunNames
from bench.report.worst_case.basis import (
    DOUBTS,
    NO_ADAPTIVE_ATTACK,
    ONE_DRAW,
    VOID_ADAPTIVE,
    VOID_WHITE_BOX,
)
from bench.report.worst_case.budgets import common_submissions, defenses_under_budgets
from bench.report.worst_case.figures import worst_case_figures
from bench.report.worst_case.frame import COLUMNS, worst_case_frame
from bench.report.worst_case.pairs import all_pairs, pairs_frame, rankings
from bench.report.worst_case.tables import worst_case_table


def frame(
    cells: list[EvaluatedCell],
    failed: tuple[Any, ...] = (),
    found: dict[str, Verdict] | None = None,
) -> pd.DataFrame:
    ok = {cell.record.key: Verdict("ok") for cell in cells}
    defenses = defenses_under_budgets([*(cell.record for cell in cells), *failed], cells)
    ranks = rankings(defenses, all_pairs(defenses))
    table = worst_case_frame(defenses, {**ok, **(found or {})}, ranks)
    assert tuple(table.columns) == COLUMNS
    return table.set_index(["norm", "eps", "defense"])


def test_an_image_is_robust_where_no_attack_under_any_threat_model_breaks_it(made: Any) -> None:
    """Six images: 0 is wrong clean, 1 is broken by fgsm, 2 by pgd whitebox; 3, 4, 5 stand."""
    clean = [0, 1, 1, 1, 1, 1]
    cells = [
        made.cell([1, 0, 1, 1, 1, 1], clean, attack="fgsm"),
        made.cell([1, 1, 0, 1, 1, 1], clean, attack="pgd", threat="whitebox"),
    ]
    row = frame(cells).loc[("linf", 0.1, "d")]
    assert row["worst_case_accuracy"] == 3 / 6
    assert row[["worst_case_all_submissions", "clean_all_submissions"]].tolist() == [3 / 6, 5 / 6]
    assert (row["submissions"], row["basis"], row["mark"]) == (1, "white-box", "")
    assert (row["graybox_accuracy"], row["graybox_attack"]) == (5 / 6, "fgsm")
    assert row["clean_accuracy"] == 5 / 6
    assert (row["strongest"], row["strongest_accuracy"]) == ("fgsm eps 0.1, graybox", 5 / 6)
    assert (row["cells"], row["n"], row["not_ok"], row["note"], row["rank"]) == (2, 6, "", "", "1")
    assert (row["worst_case_accuracy_low"], row["worst_case_accuracy_high"]) == pytest.approx(
        (0.1876, 0.8124), abs=1e-4
    )


def test_a_smaller_budget_of_the_same_norm_counts_a_larger_or_another_norms_does_not(
    made: Any,
) -> None:
    cells = [
        made.cell([0, 1, 1, 1], eps=0.1),
        made.cell([1, 0, 1, 1], eps=0.2),
        made.cell([1, 1, 0, 1], eps=0.3),
        made.cell([1, 1, 1, 0], attack="cw", eps=0.2, norm="l2"),
        made.cell([0, 0, 0, 1], attack="spatial", eps=0.2, norm=None),
    ]
    table = frame(cells)
    assert table["worst_case_accuracy"].to_dict() == {
        ("linf", 0.1, "d"): 0.75,
        ("linf", 0.2, "d"): 0.5,
        ("linf", 0.3, "d"): 0.25,
        ("l2", 0.2, "d"): 0.75,
        ("no norm", 0.2, "d"): 0.25,
    }
    assert table["graybox_accuracy"].tolist() == [0.75, 0.75, 0.75, 0.75, 0.25]
    assert table["cells"].tolist() == [1, 2, 3, 1, 1]


def test_the_graybox_figure_is_of_the_strongest_attack_at_this_budget_as_a_mean_over_draws(
    made: Any,
) -> None:
    cells = [
        made.cell([[1, 1, 0, 0], [1, 1, 1, 1]], attack="fgsm"),
        made.cell([1, 1, 1, 0], attack="pgd", eps=0.2),
        made.cell([0, 0, 0, 0], attack="pgd", threat="whitebox", eps=0.2),
    ]
    table = frame(cells)
    assert table.loc[("linf", 0.1, "d"), "graybox_accuracy"] == 0.75
    assert table.loc[("linf", 0.2, "d"), ["graybox_accuracy", "graybox_attack"]].tolist() == [
        0.75,
        "pgd",
    ]
    assert pd.isna(frame([cells[2]])["graybox_accuracy"].iloc[0])


def test_seeds_datasets_and_defenses_do_not_mix(made: Any) -> None:
    cells = [
        made.cell([0, 1], seed=0),
        made.cell([1, 0], seed=1),
        made.cell([1, 1], dataset="mnist"),
        made.cell([1, 0], defense="e"),
    ]
    table = frame(cells)
    assert len(table) == 4
    assert table["worst_case_accuracy"].sort_values().tolist() == [0.5, 0.5, 0.5, 1.0]


def test_void_doubtful_and_failed_cells_are_counted(made: Any) -> None:
    cells = [
        made.cell([1, 1], attack="fgsm"),
        made.cell([1, 1], attack="pgd", threat="whitebox"),
        made.cell([1, 1], attack="pgd", threat="bpda"),
    ]
    found = {cells[1].record.key: Verdict("invalid"), cells[2].record.key: Verdict("suspect")}
    failed = (
        made.record(attack="auto", threat="whitebox", status="failed"),
        made.record(attack="auto", threat="whitebox", eps=0.2, status="failed"),
        made.record(attack="auto", threat="query", status="skipped"),
    )
    row = frame(cells, failed, found).loc[("linf", 0.1, "d")]
    assert row["not_ok"] == "1 invalid, 1 suspect, 1 failed"
    assert row["note"] == VOID_WHITE_BOX


ATTACKERS = [
    ("d", "graybox", "gradient", "gray-box only", NO_ADAPTIVE_ATTACK),
    ("d", "transfer", "gradient", "transfer only", NO_ADAPTIVE_ATTACK),
    ("d", "noise", "gradient", "noise only", NO_ADAPTIVE_ATTACK),
    ("d", "whitebox", "gradient", "white-box", ""),
    ("d", "bpda", "gradient", "BPDA", ""),
    ("d", "query", "decision", "decisions", "only decision-based attacks saw the defense"),
    ("d", "query", "score", "scores", "only attacks without a gradient saw the defense"),
    ("none", "graybox", "gradient", "white-box", ""),
    ("none", "graybox", "decision", "decisions", "only decision-based attacks saw the defense"),
    ("none", "bpda", "gradient", "white-box", ""),
    ("none", "transfer", "gradient", "transfer only", NO_ADAPTIVE_ATTACK),
]


@pytest.mark.parametrize(("defense", "threat", "access", "basis", "note"), ATTACKERS)
@pytest.mark.parametrize("level", ["ok", "suspect", "invalid"])
def test_a_worst_case_says_what_it_rests_on(
    made: Any, defense: str, threat: str, access: str, basis: str, note: str, level: Any
) -> None:
    cell = made.cell([1, 1], defense=defense, threat=threat, access=access)
    (row,) = frame([cell], found={cell.record.key: Verdict(level)}).to_dict("records")
    if level == "invalid":
        basis, note = "no valid attack", NO_ADAPTIVE_ATTACK
    assert (row["basis"], row["note"]) == (basis, note)
    assert row["mark"] == ("?" if note == NO_ADAPTIVE_ATTACK else "")


@pytest.mark.parametrize(
    ("void", "valid", "basis", "note"),
    [
        (["whitebox"], ["graybox"], "gray-box only", NO_ADAPTIVE_ATTACK),
        (["whitebox"], ["graybox", "bpda"], "BPDA", VOID_WHITE_BOX),
        (["whitebox"], ["query"], "decisions", VOID_WHITE_BOX),
        (["whitebox"], ["bpda", "adaptive"], "adaptive", ""),
        (["whitebox"], ["adaptive"], "adaptive", ""),
        (["whitebox"], ["whitebox:eot=8"], "white-box", ""),
        (["whitebox", "adaptive"], ["bpda"], "BPDA", VOID_WHITE_BOX),
        (["adaptive"], ["bpda"], "BPDA", VOID_ADAPTIVE),
        (["adaptive"], ["whitebox"], "white-box", ""),
        (["bpda"], ["whitebox"], "white-box", ""),
        (["bpda"], ["query"], "decisions", "only decision-based attacks saw the defense"),
    ],
)
def test_a_void_attack_marks_the_worst_case_until_one_that_knows_as_much_takes_its_place(
    made: Any, adaptive: Any, void: list[str], valid: list[str], basis: str, note: str
) -> None:
    def cell(threat: str) -> EvaluatedCell:
        access = "decision" if threat == "query" else "gradient"
        if threat == "adaptive":
            return adaptive([1, 1])
        found: EvaluatedCell = made.cell([1, 1], threat=threat, access=access)
        return found

    bad, good = [cell(threat) for threat in void], [cell(threat) for threat in valid]
    table = frame([*bad, *good], found={each.record.key: Verdict("invalid") for each in bad})
    (row,) = table.to_dict("records")
    assert (row["basis"], row["note"]) == (basis, note)
    assert row["mark"] == ("?" if note in DOUBTS else "")
    assert worst_case_table(table.reset_index())["rank"].tolist() == [f"1{row['mark']}"]


def test_a_valid_attack_at_a_smaller_budget_does_not_take_the_place_of_a_void_one(
    made: Any,
) -> None:
    cells = [made.cell([1, 1], threat="whitebox", eps=eps) for eps in (0.1, 0.3)]
    cells.append(made.cell([1, 1], threat="bpda", eps=0.3))
    table = frame(cells, found={cells[1].record.key: Verdict("invalid")})
    assert table["note"].to_dict() == {("linf", 0.1, "d"): "", ("linf", 0.3, "d"): VOID_WHITE_BOX}


def test_a_randomized_pipeline_in_one_draw_says_so(made: Any) -> None:
    cells = [
        made.cell([1, 1, 0, 0], threat="whitebox", stochastic=True),
        made.cell([0, 1, 1, 1], stochastic=True),
    ]
    (row,) = frame(cells).to_dict("records")
    assert (row["worst_case_accuracy"], row["note"], row["mark"]) == (0.5, ONE_DRAW, "")
    (row,) = frame([made.cell([1, 0], stochastic=True)]).to_dict("records")
    assert row["note"] == f"{NO_ADAPTIVE_ATTACK}; {ONE_DRAW}"


def test_the_number_of_submissions_is_the_same_for_every_defense(made: Any) -> None:
    cells = [
        made.cell([[1, 1, 0, 0]] * 8, [[1] * 4] * 8, defense="many", threat="whitebox"),
        made.cell([[1, 1, 1, 1], [1, 1, 1, 0]] * 2, [[1] * 4] * 4, defense="d", threat="whitebox"),
        made.cell([1, 1, 1, 0], defense="fixed", threat="whitebox"),
    ]
    table = frame(cells).droplevel(["norm", "eps"])
    assert table["submissions"].tolist() == [2, 2, 2]
    accuracies = ["worst_case_accuracy", "worst_case_all_submissions", "clean_all_submissions"]
    assert table.loc["many", accuracies].tolist() == [0.5, 0.5, 1.0]
    assert table.loc["d", accuracies].tolist() == [3.5 / 4, 3 / 4, 1.0]
    assert table.loc["fixed", accuracies].tolist() == [0.75, 0.75, 1.0]
    shown = worst_case_table(frame(cells).reset_index())
    assert shown["all of 2"].tolist() == ["0.500", "0.750", "0.750"]
    assert shown["all of 2, clean"].tolist() == ["1.000"] * 3
    one_draw = made.cell([1, 0, 1, 1], defense="once", stochastic=True)
    assert common_submissions(defenses_under_budgets([], [*cells, one_draw])) == 1
    assert "all of 1" not in worst_case_table(frame([*cells, one_draw]).reset_index())


def test_the_clean_figure_of_several_submissions_is_of_clean_images(made: Any) -> None:
    clean = [[1, 1], [1, 0], [1, 0], [1, 1]]
    (row,) = frame([made.cell([[0, 0]] * 4, clean)]).to_dict("records")
    assert row["clean_accuracy"] == 0.75
    assert row["clean_all_submissions"] == pytest.approx((1 + 1 / 6) / 2)  # one pair of six


def test_a_draw_that_the_attacker_knows_has_a_column_and_no_part_in_the_worst_case(
    made: Any,
) -> None:
    fresh = made.cell([[1, 1, 1, 0]] * 2, threat="whitebox")
    known = [
        fixed_draw(made.cell([right] * 2, threat="whitebox:draw=fixed", eps=eps))
        for right, eps in (([1, 1, 0, 0], 0.1), ([1, 0, 0, 0], 0.1), ([0, 0, 0, 0], 0.2))
    ]
    table = frame([fresh, *known])
    assert list(table.index) == [("linf", 0.1, "d")]
    row = table.iloc[0]
    assert (row["worst_case_accuracy"], row["fixed_draw_accuracy"], row["cells"]) == (0.75, 0.25, 1)
    assert row["strongest"] == "fgsm eps 0.1, whitebox"
    assert "fixed draw" in worst_case_table(table.reset_index())
    assert "fixed draw" not in worst_case_table(frame([fresh]).reset_index())
    assert frame(known).empty


def test_a_known_draw_counts_as_faced_beside_a_defense_that_has_no_draws(made: Any) -> None:
    threats = ("whitebox", "whitebox:draw=fixed")
    plain = [made.cell([1, 0], defense="plain", threat=threat) for threat in threats]
    fresh = made.cell([[1, 0]] * 2, defense="random", threat="whitebox")
    known = fixed_draw(made.cell([[1, 0]] * 2, defense="random", threat="whitebox:draw=fixed"))
    table = frame([*plain, fresh, known])
    assert table["missing_attacks"].tolist() == [0, 0]
    assert table["cells"].tolist() == [2, 1]


def fixed_draw(cell: EvaluatedCell) -> EvaluatedCell:
    """The cell, in which the attacker knows the draw."""
    properties = replace(cell.record.properties, fixed_draw=True)
    return replace(cell, record=replace(cell.record, properties=properties))


def test_the_strongest_attack_names_the_member_of_the_cascade_that_broke_most(
    made: Any, adaptive: Any
) -> None:
    cells = [made.cell([1, 1, 1, 0]), adaptive([1, 0, 0, 0])]
    row = frame(cells).iloc[0]
    assert row["strongest"] == "cascade eps 0.1, adaptive (most by stand-in mixture)"
    assert (row["worst_case_accuracy"], row["basis"], row["note"]) == (0.25, "adaptive", "")


def test_clean_images_are_no_attack(made: Any, adaptive: Any) -> None:
    cell = adaptive([1, 0, 0, 0])
    clean = replace(cell.record.cascade[0], name="clean images", attack="", broken=3)
    few = [replace(member, broken=0) for member in cell.record.cascade[1:]]
    record = replace(cell.record, cascade=(clean, *few))
    row = frame([made.cell([1, 1, 1, 0]), replace(cell, record=record)]).iloc[0]
    assert row["strongest"] == "cascade eps 0.1, adaptive"


def test_a_marked_worst_case_is_hatched_in_the_figure_and_marked_in_the_table(made: Any) -> None:
    cells = [
        made.cell([1, 1, 1, 0]),
        made.cell([1, 1, 1, 1], threat="whitebox"),
        made.cell([1, 1, 0, 0], threat="bpda"),
        made.cell([1, 1, 0, 0], defense="seen", threat="whitebox"),
    ]
    found = {cells[0].record.key: Verdict("suspect"), cells[1].record.key: Verdict("invalid")}
    table = frame(cells, found=found).reset_index()
    shown = worst_case_table(table).set_index("defense")
    assert shown["worst-case accuracy"].str.endswith("?").to_dict() == {"d": True, "seen": False}
    assert shown.loc["d", "gray-box accuracy"].endswith(" ?")

    report: Any = SimpleNamespace(worst_case=table, names=RunNames(), looks=DefenseLooks())
    (named,) = worst_case_figures(report)
    hatched = [bar.get_hatch() for bar in named.figure.axes[0].patches]
    assert hatched == ["////", "////", None]  # gray-box and worst case of d, worst case of seen
    labels = [text.get_text() for text in named.figure.legends[0].get_texts()]
    assert labels[3:] == ["gray-box attack suspect or invalid", f"?: {VOID_WHITE_BOX}"]


def test_an_attack_that_moved_nothing_saw_nothing(made: Any) -> None:
    """With the verdicts of the checks themselves."""
    cells = [made.cell([1, 1]), made.cell([1, 1], threat="whitebox", moved=0.0)]
    row = frame(cells, found=verdicts(cells)).iloc[0]
    assert (row["not_ok"], row["note"]) == ("1 invalid", NO_ADAPTIVE_ATTACK)


images = st.lists(st.booleans(), min_size=5, max_size=5)
attacks = st.fixed_dictionaries(
    {
        "robust": images,
        "attack": st.sampled_from(["fgsm", "pgd", "cw"]),
        "eps": st.sampled_from([0.1, 0.2, 0.3]),
        "threat": st.sampled_from(["graybox", "whitebox", "query", "noise"]),
        "norm": st.sampled_from(["linf", "l2", None]),
    }
)


def worst_cases(cells: list[EvaluatedCell]) -> dict[tuple[str, float], float]:
    return {
        (each.budget.norm, each.budget.eps): each.worst_case.right.mean()
        for each in defenses_under_budgets([], cells)
    }


@pytest.mark.parametrize("draws", [1, 4])
@given(clean=images, given_attacks=st.lists(attacks, min_size=1, max_size=8))
def test_where_draws_agree_it_is_below_every_accuracy_and_falls_with_budget_and_attacks(
    made: Any, draws: int, clean: list[bool], given_attacks: list[dict[str, Any]]
) -> None:
    cells = [
        made.cell([each.pop("robust")] * draws, [clean] * draws, **each)
        for each in map(dict, given_attacks)
    ]
    found = worst_cases(cells)
    for (norm, eps), worst in found.items():
        assert worst <= np.mean(clean)
        for cell in cells:
            if (cell.record.properties.norm or "no norm") == norm and cell.eps <= eps:
                assert worst <= cell.right.mean()
        assert all(worst <= other for (of, at), other in found.items() if of == norm and at <= eps)
    assert all(found[budget] <= worst for budget, worst in worst_cases(cells[:-1]).items())


def blocks(*counts: int) -> np.ndarray:
    """Right on so many images, wrong on the next so many, and so on."""
    return np.repeat([index % 2 == 0 for index in range(len(counts))], counts)


def test_pairs_and_ranks_follow_the_exact_test_with_holms_correction(made: Any) -> None:
    """a: right on 1..30, b: on 1..29 and 31, c: on 1..20, of 40: a and b tie, both beat c."""
    cells = [
        made.cell(blocks(30, 10), defense="a"),
        made.cell(blocks(29, 1, 1, 9), defense="b"),
        made.cell(blocks(20, 20), defense="c"),
    ]
    defenses = defenses_under_budgets([], cells)
    pairs = all_pairs(defenses)
    table = pairs_frame(pairs, {cell.record.key: Verdict("ok") for cell in cells})
    assert table["basis"].tolist() == ["worst case"] * 3 + ["graybox"] * 3
    first = table.iloc[:3]
    assert list(zip(first["defense_a"], first["defense_b"], strict=True)) == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]
    assert list(zip(first["a_only"], first["b_only"], strict=True)) == [(1, 1), (10, 0), (10, 0)]
    assert first["p"].tolist() == pytest.approx([1.0, 2 / 2**10, 2 / 2**10])
    assert first["p_holm"].tolist() == pytest.approx([1.0, 6 / 2**10, 6 / 2**10])
    assert first["result"].tolist() == ["tie", "a beats c", "b beats c"]
    assert [rank for _, rank in rankings(defenses, pairs).items()] == ["1=", "1=", "3"]


def test_a_randomized_defense_is_paired_by_its_expected_accuracy(made: Any) -> None:
    """Right in three draws of four everywhere beats right on half of the images."""
    often = [np.roll(np.tile([True, True, True, False], 10), shift) for shift in range(4)]
    cells = [
        made.cell(often, np.ones((4, 40)), defense="often"),
        made.cell(blocks(20, 20), defense="half"),
    ]
    pairs = all_pairs(defenses_under_budgets([], cells))
    for pair in pairs:
        assert pair.accuracies == (0.75, 0.5)
        assert (pair.test.first_only, pair.test.second_only) == (20, 20)
    assert pairs[0].p_holm == pairs[1].p_holm < 0.05
    assert {pair.winner_and_loser for pair in pairs} == {("often", "half")}


def test_the_loser_may_come_first(made: Any) -> None:
    cells = [made.cell(blocks(5, 15), defense="a"), made.cell(blocks(20), defense="b")]
    defenses = defenses_under_budgets([], cells)
    pairs = all_pairs(defenses)
    assert {pair.winner_and_loser for pair in pairs} == {("b", "a")}
    assert list(rankings(defenses, pairs).values()) == ["2", "1"]


def test_the_worst_case_may_turn_the_graybox_order_around(made: Any) -> None:
    cells = [
        made.cell(blocks(20), defense="a"),
        made.cell(blocks(0, 20), defense="a", threat="whitebox"),
        made.cell(blocks(10, 10), defense="b"),
        made.cell(blocks(10, 10), defense="b", threat="whitebox"),
    ]
    pairs = all_pairs(defenses_under_budgets([], cells))
    assert {pair.basis: pair.winner_and_loser for pair in pairs} == {
        "worst case": ("b", "a"),
        "graybox": ("a", "b"),
    }


def test_each_budget_is_corrected_by_itself(made: Any) -> None:
    cells = [
        made.cell(blocks(n, 20 - n), defense=name, eps=eps)
        for name, n in (("a", 20), ("b", 14))
        for eps in (0.1, 0.2)
    ]
    pairs = all_pairs(defenses_under_budgets([], cells))
    assert len(pairs) == 4
    assert all(pair.p_holm == pair.test.p for pair in pairs)


def test_a_pair_that_was_not_attacked_alike_says_so(made: Any) -> None:
    cells = [
        made.cell(blocks(20), defense="a", threat="whitebox"),
        made.cell(blocks(20), defense="b", threat="whitebox"),
        made.cell(blocks(20), defense="b", attack="pgd", threat="whitebox"),
        made.cell(blocks(20), defense="c"),
    ]
    found = {cell.record.key: Verdict("ok") for cell in cells}
    table = pairs_frame(all_pairs(defenses_under_budgets([], cells)), found)
    assert table["note"].tolist() == [
        "not the same attacks",
        f"{NO_ADAPTIVE_ATTACK}: c; not the same attacks",
        f"{NO_ADAPTIVE_ATTACK}: c; not the same attacks",
    ]
