"""Dominance against closed cases, and against textbook dominance where differences are clear."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.metrics import pareto_front
from bench.report.decision.costs import CallTime
from bench.report.decision.dominance import dominators, never_ahead
from bench.report.worst_case.budgets import defenses_under_budgets
from bench.report.worst_case.pairs import all_pairs


def took(low: float, high: float) -> CallTime:
    return CallTime(low, (low + high) / 2, high, memory=math.nan, busy=math.nan)


FAST, SLOW, BETWEEN = took(1.0, 2.0), took(3.0, 4.0), took(1.5, 3.5)


@pytest.mark.parametrize(
    ("a_time", "b_time", "beaten", "dominates"),
    [
        (FAST, SLOW, set(), True),  # as robust as far as one can tell, and faster
        (FAST, FAST, {("a", "b")}, True),  # more robust, not slower
        (FAST, BETWEEN, {("a", "b")}, True),
        (BETWEEN, FAST, {("a", "b")}, True),  # the quartiles overlap
        (FAST, BETWEEN, set(), False),  # neither is better in anything
        (SLOW, FAST, {("a", "b")}, False),  # more robust, but slower
        (FAST, SLOW, {("b", "a")}, False),  # faster, but less robust
        (FAST, took(2.0, 3.0), set(), False),  # quartiles that touch
    ],
)
def test_closed_cases(
    a_time: CallTime, b_time: CallTime, beaten: set[tuple[str, str]], dominates: bool
) -> None:
    times = {"a": a_time, "b": b_time}
    assert dominators("b", ["a", "b"], beaten, set(permutations("ab", 2)), times) == (
        ["a"] if dominates else []
    )


def test_what_few_images_leave_open_is_no_dominance(made: Any) -> None:
    """Ten points ahead, not significantly; with 100 times the images it is certain to be equal."""
    times = {"a": FAST, "b": SLOW}
    for n, ahead, dominates in ((40, 4, False), (40, 0, False), (4_000, 4, True)):
        images = np.arange(n)
        cells = [
            made.cell(images < 20 + more, defense=name, threat="whitebox")
            for name, more in (("a", 0), ("b", ahead))
        ]
        pairs = all_pairs(defenses_under_budgets([cell.record for cell in cells], cells))
        (behind,) = never_ahead(pairs).values()
        assert dominators("b", ["a"], set(), behind, times) == (["a"] if dominates else [])


def test_what_was_not_timed_or_is_not_sound_takes_no_part() -> None:
    beaten = {("a", "b")}
    assert dominators("b", ["a"], beaten, set(), {"a": FAST}) == []
    assert dominators("b", ["a"], beaten, set(), {"b": FAST}) == []
    assert dominators("b", [], beaten, set(), {"a": FAST, "b": SLOW}) == []


intervals = st.tuples(st.integers(0, 9), st.integers(0, 4)).map(
    lambda pair: took(pair[0], pair[0] + pair[1])
)


@given(st.data())
def test_no_two_defenses_dominate_each_other(data: st.DataObject) -> None:
    names = ["a", "b", "c"]
    times = {name: data.draw(intervals) for name in names}
    # Of each pair at most one beats the other, as in a paired test.
    beaten = {
        pair if data.draw(st.booleans()) else pair[::-1]
        for pair in (("a", "b"), ("a", "c"), ("b", "c"))
        if data.draw(st.booleans())
    }
    behind = {pair for pair in permutations(names, 2) if data.draw(st.booleans())}
    found = {name: dominators(name, names, beaten, behind, times) for name in names}
    assert all(name not in others for name, others in found.items())
    assert not any(a in found[b] and b in found[a] for a, b in permutations(names, 2))


@given(st.lists(intervals, min_size=3, max_size=3))
def test_being_faster_alone_is_transitive(taken: list[CallTime]) -> None:
    times = dict(zip("abc", taken, strict=True))
    found = {
        name: dominators(name, "abc", set(), set(permutations("abc", 2)), times) for name in "abc"
    }
    if "a" in found["b"] and "b" in found["c"]:
        assert "a" in found["c"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=6))
def test_clear_differences_leave_the_pareto_front(points: list[tuple[int, int]]) -> None:
    """With exact times and every difference in accuracy significant, as the textbook has it."""
    names = [str(index) for index in range(len(points))]
    times = {name: took(time, time) for name, (time, _) in zip(names, points, strict=True)}
    accuracy = dict(zip(names, (right for _, right in points), strict=True))
    beaten = {(a, b) for a, b in permutations(names, 2) if accuracy[a] > accuracy[b]}
    free = {
        index
        for index, name in enumerate(names)
        if not dominators(name, names, beaten, set(permutations(names, 2)) - beaten, times)
    }
    assert free == set(pareto_front([time for time, _ in points], [right for _, right in points]))
