"""Lines of figures: what a verdict changes on points and segments."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from bench.analysis.verdict import LEVELS, Level
from bench.report.columns import over_seeds
from bench.report.judged_lines import draw_judged_line, verdict_key
from bench.report.looks import style
from bench.report.plotting import undefended_rows

levels_of_points = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=6)


def drawn(levels: list[Level], look: dict[str, str]) -> Axes:
    axes = Figure().subplots()
    values = [0.1 * index for index in range(len(levels))]
    draw_judged_line(axes, range(len(levels)), values, levels, look, "line")
    return axes


def points_of(axes: Axes, marker: str) -> dict[float, str]:
    """The face of each visible point by its position, of the lines with this marker."""
    return {
        x: line.get_markerfacecolor()
        for line in axes.lines
        if line.get_marker() == marker
        for x, y in line.get_xydata()
        if not np.isnan(y)
    }


def segments_of(axes: Axes, linestyle: str) -> set[tuple[float, float]]:
    """The visible segments of the lines in this style."""
    return {
        (first[0], second[0])
        for line in axes.lines
        if line.get_linestyle() == linestyle
        for first, second in pairwise(line.get_xydata())
        if not np.isnan([*first, *second]).any()
    }


@given(levels_of_points, st.integers(0, 15))
def test_points_that_are_not_ok_are_hollow_and_invalid_ones_crossed(
    levels: list[Level], index: int
) -> None:
    look = style(index)
    axes = drawn(levels, look)
    faces = points_of(axes, look["marker"])
    assert set(faces) == set(range(len(levels)))
    for position, level in enumerate(levels):
        assert (to_rgb(faces[position]) == (1, 1, 1)) == (level != "ok")
    assert set(points_of(axes, "x")) == {i for i, level in enumerate(levels) if level == "invalid"}


@given(levels_of_points, st.integers(0, 15))
def test_the_line_is_dotted_from_and_to_a_point_that_is_not_ok(
    levels: list[Level], index: int
) -> None:
    look = style(index)
    axes = drawn(levels, look)
    segments = list(pairwise(range(len(levels))))
    sound = {ends for ends in segments if all(levels[end] == "ok" for end in ends)}
    assert segments_of(axes, look["linestyle"]) == sound
    assert segments_of(axes, ":") == set(segments) - sound


def test_no_line_is_dotted_unless_its_verdict_says_so() -> None:
    assert ":" not in {style(index)["linestyle"] for index in range(32)}


def test_the_line_has_one_entry_in_a_legend() -> None:
    handles, labels = drawn(["ok", "suspect", "invalid"], style(0)).get_legend_handles_labels()
    assert (len(handles), labels) == (1, ["line"])


@pytest.mark.parametrize(
    ("levels", "labels"),
    [
        ({"ok"}, []),
        ({"ok", "invalid"}, ["invalid (!)"]),
        ({"invalid", "suspect"}, ["suspect (?)", "invalid (!)"]),
    ],
)
def test_the_key_names_the_levels_that_occur(levels: set[str], labels: list[str]) -> None:
    assert [handle.get_label() for handle in verdict_key(levels)] == labels


def test_the_mean_over_seeds_has_the_worst_verdict() -> None:
    rows = pd.DataFrame(
        {
            "eps": [0.3, 0.1, 0.3, 0.1, 0.2],
            "value": [1.0, 0.0, 0.0, 0.5, 0.25],
            "verdict": ["ok", "ok", "invalid", "suspect", "ok"],
        }
    )
    found = over_seeds(rows, "eps").set_index("eps")
    assert found["value"].to_dict() == {0.3: 0.5, 0.1: 0.25, 0.2: 0.25}
    assert found["verdict"].to_dict() == {0.3: "invalid", 0.1: "suspect", 0.2: "ok"}


def test_the_bare_classifier_has_the_verdict_of_none_and_not_of_a_defense() -> None:
    rows = pd.DataFrame({"defense": ["a", "none", "b"], "verdict": ["invalid", "suspect", "ok"]})
    assert undefended_rows(rows)["verdict"].tolist() == ["suspect"]
    assert undefended_rows(rows[rows["defense"] != "none"])["verdict"].tolist() == ["ok"]
