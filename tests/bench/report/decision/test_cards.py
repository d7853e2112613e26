"""The cards on the terminal: order, budgets, and commands that can be copied."""

from __future__ import annotations

import io
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.records.folder import RunFolder
from bench.report import Report
from bench.report.decision.cards import command_lines, print_cards, with_options


def shown(report: Report, width: int = 80) -> str:
    file = io.StringIO()
    print_cards(Console(file=file, width=width), report)
    return file.getvalue()


@pytest.fixture(scope="module")
def report(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Two defenses at five budgets: the second is better at the largest one only."""
    first, second = "convae:width=8", "median:radius=2"
    folder = RunFolder.create(
        tmp_path_factory.mktemp("cards") / "run", {"defenses": ["none", first, second]}
    )
    images = np.arange(100)
    for eps in (0.1, 0.2, 0.3, 0.4, 0.5):
        for defense, right in (("none", 5), (first, 60), (second, 90 if eps == 0.5 else 30)):
            record = made.record(defense, threat="whitebox", eps=eps, n=100)
            folder.save(record, made.outcome(images < right))
    return Report.of(folder)


def test_the_best_of_the_largest_budget_comes_first_by_its_short_name(report: Report) -> None:
    text = shown(report)
    assert 0 < text.index("\nconvae: clean lost") < text.index("\nmedian: clean lost")
    assert text.count("radius=2") == 1
    assert "\n  in full: median:radius=2\n" in text


def test_many_budgets_are_shown_by_three(report: Report) -> None:
    lines = [line.split(":")[0] for line in shown(report).splitlines() if ", worst case" in line]
    assert lines == 2 * ["  eps 0.1", "  eps 0.3", "  eps 0.5"]


def test_no_line_is_longer_than_the_terminal(report: Report) -> None:
    for width in (80, 120):
        assert max(map(len, shown(report, width).splitlines())) <= width


def test_the_next_command_is_printed_once_for_all_its_defenses(report: Report) -> None:
    command = "bench run --preset quick --threats graybox,adaptive"
    controls = report.decisions["control"]
    asked = report.decisions.assign(next=["" if control else command for control in controls])
    text = shown(with_options(replace(report, decisions=asked), ["--data", "my data"]))
    assert text.count("bench run") == 1
    assert "Next, for convae, median:" in text
    assert "--data 'my data'" in text


def test_without_the_bare_classifier_the_accuracy_stands_in_place_of_a_gain(
    made: Any, tmp_path: Path
) -> None:
    folder = RunFolder.create(tmp_path / "run", {"defenses": ["median"]})
    record = made.record("median", threat="whitebox", n=100)
    folder.save(record, made.outcome(np.arange(100) < 37))
    assert "rank 1, worst-case accuracy 0.370 (white-box)" in shown(Report.of(folder))


def test_a_report_without_decisions_has_no_card(report: Report) -> None:
    assert shown(replace(report, decisions=report.decisions[:0])) == ""


words = st.text(st.sampled_from("abz:=[],.' \\$"), min_size=1, max_size=30)


@given(st.lists(st.tuples(st.sampled_from(("--eps", "--n", "--defenses")), words)))
def test_a_command_in_lines_is_the_same_to_a_shell(options: list[tuple[str, str]]) -> None:
    command = ["bench", "run", *(word for option in options for word in option)]
    lines = list(command_lines(shlex.join(command), 80))
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == command
