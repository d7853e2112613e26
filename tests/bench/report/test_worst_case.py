"""The worst case against hand computations, and what must hold of any."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.checks import verdicts
from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.verdict import Verdict
from bench.report.worst_case.budgets import NO_ADAPTIVE_ATTACK, defenses_under_budgets
from bench.report.worst_case.frame import COLUMNS, worst_case_frame
from bench.report.worst_case.pairs import all_pairs, pairs_frame, rankings


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
    """Six images.

    Broken: 0 is wrong clean, 1 by fgsm, 2 by pgd whitebox in its second draw only; 3, 4, 5 stand.
    """
    clean = [0, 1, 1, 1, 1, 1]
    cells = [
        made.cell([1, 0, 1, 1, 1, 1], clean, attack="fgsm"),
        made.cell([[1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1]], clean, attack="pgd", threat="whitebox"),
    ]
    row = frame(cells).loc[("linf", 0.1, "d")]
    assert row["worst_case_accuracy"] == 3 / 6
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
    assert row["note"] == ""


@pytest.mark.parametrize(
    ("defense", "threat", "level", "note"),
    [
        ("d", "graybox", "ok", NO_ADAPTIVE_ATTACK),
        ("d", "transfer", "ok", NO_ADAPTIVE_ATTACK),
        ("d", "whitebox", "ok", ""),
        ("d", "bpda", "suspect", ""),
        ("d", "whitebox", "invalid", NO_ADAPTIVE_ATTACK),
        ("d", "query", "ok", "only decision-based attacks saw the defense"),
        ("none", "graybox", "ok", ""),
        ("none", "graybox", "invalid", NO_ADAPTIVE_ATTACK),
        ("none", "transfer", "ok", NO_ADAPTIVE_ATTACK),
    ],
)
def test_a_worst_case_that_no_valid_attack_on_the_defense_has_tried_says_so(
    made: Any, defense: str, threat: str, level: Any, note: str
) -> None:
    access = "decision" if threat == "query" else "gradient"
    cell = made.cell([1, 1], defense=defense, threat=threat, access=access)
    assert frame([cell], found={cell.record.key: Verdict(level)})["note"].tolist() == [note]


def test_an_attack_that_moved_nothing_saw_nothing(made: Any) -> None:
    """With the verdicts of the checks themselves."""
    cells = [made.cell([1, 1]), made.cell([1, 1], threat="whitebox", moved=0.0)]
    row = frame(cells, found=verdicts(cells)).iloc[0]
    assert (row["not_ok"], row["note"]) == ("1 invalid", NO_ADAPTIVE_ATTACK)


images = st.lists(st.booleans(), min_size=5, max_size=5)
attacks = st.fixed_dictionaries(
    {
        "robust": st.lists(images, min_size=1, max_size=3),
        "attack": st.sampled_from(["fgsm", "pgd", "cw"]),
        "eps": st.sampled_from([0.1, 0.2, 0.3]),
        "threat": st.sampled_from(["graybox", "whitebox", "query", "noise"]),
        "norm": st.sampled_from(["linf", "l2", None]),
    }
)


@given(images, st.lists(attacks, min_size=1, max_size=8))
def test_the_worst_case_is_below_every_accuracy_and_falls_with_budget_and_attacks(
    made: Any, clean: list[bool], given_attacks: list[dict[str, Any]]
) -> None:
    cells = [made.cell(each.pop("robust"), clean, **each) for each in map(dict, given_attacks)]
    found = {
        (each.budget.norm, each.budget.eps): each for each in defenses_under_budgets([], cells)
    }
    for (norm, eps), defense in found.items():
        worst = defense.right_under_all_attacks.mean()
        for cell in cells:
            if (cell.record.properties.norm or "no norm") == norm and cell.eps <= eps:
                assert worst <= cell.right.all(axis=0).mean() <= cell.right.mean()
        assert worst <= defense.strongest.right.mean()
        assert worst <= np.mean(clean)
        assert all(
            worst <= other.right_under_all_attacks.mean()
            for (of, at), other in found.items()
            if of == norm and at <= eps
        )
    fewer = {
        (each.budget.norm, each.budget.eps): each for each in defenses_under_budgets([], cells[:-1])
    }
    assert all(
        found[budget].right_under_all_attacks.mean() <= defense.right_under_all_attacks.mean()
        for budget, defense in fewer.items()
    )


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
