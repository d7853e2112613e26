"""What the sections of a page show: the numbers of the frames, their reasons and their names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.records.folder import RunFolder
from bench.report import Report
from bench.report.latency.accuracy_figures import accuracy_latency_figures
from bench.report.page.budgets import decisive
from bench.report.page.run_facts import method_sections
from bench.report.page.source import PageSource

LONG = "d:std=0.25:steps=[pgd:steps=10]"


def test_cards_hold_the_numbers_of_the_decisions(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    folder = run_of()
    page = page_in(folder)
    decisions = Report.of(folder).decisions
    defenses = decisions[~decisions["control"]]
    cards = page.all("article")
    assert len(cards) == len(defenses)
    order = ["eps", "worst_case_accuracy"]
    expected = defenses.sort_values(order, ascending=[True, False], kind="stable")
    for card, row in zip(cards, expected.to_dict("records"), strict=True):
        text = " ".join(card.text.split())
        assert text.startswith(f"{row['defense']} rank {row['rank']}")
        assert f"{row['worst_case_gain_points']:+.1f} ±" in text
        assert f"accuracy in the worst case{row['worst_case_accuracy']:.1%}" in text
        assert f"rests on{row['basis']}" in text
        assert row["answer"][1:] in text


def test_budgets_have_headlines_that_agree_with_their_cards(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    page = page_in(run_of())
    assert [budget["eps"] for budget in page.data("decision")["budgets"]] == [0.1, 0.3]
    groups = page.all("div", class_="budget")
    for eps, group in zip((0.1, 0.3), groups, strict=True):
        assert f"At linf eps {eps}, no defense is shown to be more robust than none." in group.text


def test_a_headline_counts_the_defenses_whose_answer_is_that_they_are_more_robust(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    folder = run_of(("none", "d1", "d2", "d3", "d4"), eps=(0.7,), step=5)
    answers = Report.of(folder).decisions["answer"]
    assert list(answers.str.startswith("more robust than no defense")) == [
        False,
        False,
        True,
        True,
        True,
    ]
    (headline,) = page_in(folder).all("p", class_="headline")
    assert "3 of 4 defenses are more robust than none. d4 gains most" in headline.text


def test_a_headline_compares_with_no_defense_only_where_that_was_run(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    (headline,) = page_in(run_of(("d1",), eps=(0.3,))).all("p", class_="headline")
    assert headline.text.endswith("the classifier without a defense was not run.")


def test_without_an_informed_attack_there_is_no_answer_yet(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    page = page_in(run_of(threats=("graybox",), eps=(0.3,)))
    (headline,) = page.all("p", class_="headline")
    assert headline.text == "No answer yet at linf eps 0.3: no attack saw the defense."
    doubtful = [e for e in page.all("b", class_="doubt") if "?" in e.text]
    assert {e.attributes["data-tip"] for e in doubtful} == {"no valid attack saw the defense"}


def test_a_mark_has_its_reasons_and_takes_the_focus(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    folder = run_of(moved=0.2)  # a perturbation above its budget
    page = page_in(folder)
    results = Report.of(folder).results
    invalid = results[results["verdict"] == "invalid"]
    assert not invalid.empty
    tips = page.all("span", class_="doubt")
    assert all(tip.attributes["tabindex"] == "0" for tip in tips)
    shown = {tip.attributes["data-tip"] for tip in tips}
    assert set(invalid["reasons"]) <= shown
    marked = [tip for tip in tips if re.fullmatch(r"[\d.]+ !", tip.text)]
    assert len(marked) == len(invalid)


def test_tables_show_short_names_and_the_specs_behind_them(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    page = page_in(run_of(("none", LONG)))
    assert {row["defense"] for row in page.rows("accuracy")} == {"none", "d"}
    names = [e for e in page.all("span", class_="name") if e.text == "d"]
    assert {e.attributes["data-tip"] for e in names} == {LONG}
    assert page.data("curves")["looks"][LONG]["name"] == "d"


@pytest.mark.parametrize("prefix", ["worst_case_accuracy", "robust_accuracy"])
def test_curves_hold_every_accuracy(
    prefix: str, run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    folder = run_of()
    report = Report.of(folder)
    frame = report.worst_case if prefix == "worst_case_accuracy" else report.results
    rows = page_in(folder).data("curves")["rows"]
    mine = [row for row in rows if (row["threat"] == "all") == (frame is report.worst_case)]
    names = (prefix, f"{prefix}_low", f"{prefix}_high")
    assert [row["robust"] for row in mine] == frame[list(names)].to_numpy().tolist()
    assert [row["defense"] for row in mine] == frame["defense"].tolist()


def test_the_bare_classifier_has_a_curve_where_it_was_not_run(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    rows = page_in(run_of(("d1", "d2"))).data("curves")["rows"]
    bare = [row for row in rows if row["defense"] == "none"]
    assert [(row["eps"], row["threat"]) for row in bare] == [(0.1, "graybox"), (0.3, "graybox")]


def test_points_hold_both_intervals_and_the_dominating_defenses(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    folder = run_of()
    report = Report.of(folder)
    points = page_in(folder).data("tradeoff")["points"]
    assert len(points) == len(report.worst_case)
    for point in points:
        low, high = point["accuracy"][1:]
        assert low <= point["accuracy"][0] <= high
        median, low, high = point["latency"]
        assert low <= median <= high
        row = report.decisions.query("defense == @point['defense'] and eps == @point['eps']")
        assert ", ".join(point["dominated"]) == row["dominated_by"].iloc[0]


def test_a_doubtful_worst_case_is_on_the_front_of_no_figure(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    folder = run_of(eps=(0.7,), step=10, threats=("graybox", "transfer"))
    points = {
        point["defense"]: point["mark"] for point in page_in(folder).data("tradeoff")["points"]
    }
    assert points == {"none": "", "d1": "?", "d2": "?"}
    figures = {named.name: named.figure for named in accuracy_latency_figures(Report.of(folder))}
    (worst,) = (figure for name, figure in figures.items() if "worst_case" in name)
    (front,) = (line for line in worst.axes[0].lines if line.get_drawstyle() == "steps-post")
    assert len(set(front.get_ydata())) == 1


def test_methods_name_their_papers(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    members = [{"name": "a member", "attack": {"name": "pgd", "parameters": {}}}]
    plugins = {"attacks": {"cascade": {"name": "cascade", "members": members}}}
    page = page_in(run_of(("none", "puvae", "elsewhere:x=1"), config={"plugins": plugins}))
    (section,) = page.all("section", id="methods")
    assert "A Variational Autoencoder to Purify Adversarial Examples" in section.text
    assert "Madry et al." in section.text
    assert "a plugin from outside the package" in section.text
    links = {a.attributes["href"] for a in page.all("a", rel="noreferrer")}
    assert {"https://arxiv.org/abs/1903.00585", "https://arxiv.org/abs/1706.06083"} <= links


def test_the_cascade_is_no_plugin_from_outside(adaptive: Any, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    cell = adaptive([1, 0, 1])
    folder.save(cell.record, cell.outcome)
    source = PageSource.of(folder, Report.of(folder))
    (section,) = method_sections(source)
    assert "The adaptive attack" in section.html


def test_the_summary_counts_what_failed(run_of: Callable[..., RunFolder], made: Any) -> None:
    folder = run_of()
    assert "failed" not in PageSource.of(folder, Report.of(folder)).summary
    folder.save(made.record("d1", attack="further", status="failed", reason="memory"), None)
    assert "1 cells or timed calls failed" in PageSource.of(folder, Report.of(folder)).summary


def test_the_run_says_how_it_was_made(
    run_of: Callable[..., RunFolder], page_in: Callable[..., Any]
) -> None:
    folder = run_of(config={"preset": "mnist"})
    folder.save_environment({"device": {"name": "some machine"}, "packages": {"torch": "2.9.0"}})
    page = page_in(folder)
    (section,) = page.all("section", id="run")
    assert "some machine, PyTorch 2.9.0" in section.text
    assert '"preset": "mnist"' in section.text


@pytest.mark.parametrize(
    ("accuracies", "eps"),
    [((0.9, 0.04, 0.0), 0.2), ((0.9, 0.5, 0.2), 0.3), ((0.0, 0.0, 0.0), 0.1), ((), 0.3)],
)
def test_the_first_budget_is_the_smallest_that_breaks_the_classifier(
    accuracies: tuple[float, ...], eps: float
) -> None:
    controls = [{"control": True, "worst_case_accuracy": value} for value in accuracies]
    others = 3 * [{"control": False, "worst_case_accuracy": 0.0}]
    labels = {"dataset": "d", "classifier": "c", "norm": "linf", "seed": 0}
    rows = [
        {**labels, **row, "eps": budget}
        for kind in (controls, others)
        for row, budget in zip(kind, (0.1, 0.2, 0.3), strict=False)
    ]
    frame = pd.DataFrame(rows)
    assert set(frame["eps"][decisive(frame)]) == {eps}
