"""Looks of defenses: distinct, and the same wherever a defense stands."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.report.looks import COLORS, DefenseLooks, style, threat_style

names = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=1, max_size=40, unique=True)


def test_the_looks_of_forty_eight_defenses_are_distinct_and_sixteen_colors_are() -> None:
    looks = [style(index) for index in range(48)]
    assert len({(each["color"], str(each["linestyle"])) for each in looks}) == 48
    assert len({each["color"] for each in looks[:16]}) == 16


@given(names, st.integers(0, 40))
def test_a_color_belongs_to_a_defense_whatever_else_is_shown(
    defenses: list[str], place: int
) -> None:
    without = DefenseLooks(tuple(defenses))
    place = min(place, len(defenses))
    with_none = DefenseLooks((*defenses[:place], "none", *defenses[place:]))
    assert [without[each] for each in defenses] == [with_none[each] for each in defenses]
    assert with_none.color("none") == "black"
    assert "black" not in {with_none.color(each) for each in defenses}


def test_threat_models_have_colors_of_no_defense() -> None:
    colors = [threat_style(index, 6)["color"] for index in range(6)]
    assert len(set(colors)) == 6
    assert not set(colors) & set(COLORS)
