"""Tables on the terminal: no line is too long, no word breaks, and nothing is lost unsaid."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.report.naming import RunNames
from bench.report.terminal import print_named_table, print_table, say_wrapped, table_console
from bench.report.writers import NamedTable

WORDS = st.text(st.sampled_from("abcdefgh:=_-.±0123"), min_size=1, max_size=18)
TEXTS = st.lists(WORDS, min_size=0, max_size=12).map(" ".join)
FRAMES = st.integers(1, 7).flatmap(
    lambda width: st.lists(
        st.lists(TEXTS, min_size=width, max_size=width), min_size=1, max_size=4
    ).map(lambda rows: pd.DataFrame(rows, columns=[f"column {index}" for index in range(width)]))
)


def printed(frame: pd.DataFrame, width: int, spare: tuple[str, ...] = ()) -> tuple[str, list[str]]:
    file = io.StringIO()
    left_out = print_table(Console(file=file, width=width), "Title", frame, spare)
    return file.getvalue(), list(left_out)


@given(FRAMES, st.integers(40, 200))
def test_lines_fit_and_words_stay_whole(frame: pd.DataFrame, width: int) -> None:
    text, left_out = printed(frame, width)
    assert max(map(len, text.splitlines())) <= width
    shown = set(text.replace("│", " ").replace("┃", " ").split())
    kept = frame.drop(columns=left_out)
    assert {word for column in kept for cell in kept[column] for word in cell.split()} <= shown
    assert len(kept.columns) >= 1


@given(FRAMES)
def test_a_line_with_room_for_everything_leaves_nothing_out(frame: pd.DataFrame) -> None:
    text, left_out = printed(frame, 4_000)
    assert left_out == []
    assert all(" ".join(cell.split()) in text for column in frame for cell in frame[column])


WIDE = pd.DataFrame({name: [name * 4] for name in ("first", "second", "third", "fourth")})


def test_spare_columns_go_first_then_the_last_ones() -> None:
    assert printed(WIDE, 80, ("second",))[1] == ["second"]
    assert printed(WIDE, 60, ("second",))[1] == ["second", "fourth"]
    assert printed(WIDE, 60)[1] == ["third", "fourth"]
    assert printed(WIDE, 8)[1] == ["second", "third", "fourth"]


def test_what_does_not_fit_is_named_with_the_file_that_has_it() -> None:
    file = io.StringIO()
    print_named_table(Console(file=file, width=60), NamedTable("wide", "Wide", WIDE, "a note"))
    assert "not shown at this width: third, fourth (wide.md)" in file.getvalue()
    assert file.getvalue().endswith("a note\n")


def test_constants_stand_above_the_table_once() -> None:
    frame = pd.DataFrame({"dataset": ["mnist"] * 2, "eps": [0.1, 0.1], "defense": ["a", "b"]})
    text, _ = printed(frame, 80)
    assert text.splitlines()[0] == "Title (dataset mnist, eps 0.1)"
    assert text.count("mnist") == 1


def test_a_table_has_short_names_unless_it_has_its_own_form() -> None:
    spec = "defensegan:restarts=4:steps=20"
    frame = pd.DataFrame({"defense": [spec, "none"]})
    names = RunNames.of({"defense": [spec, "none"]})
    for table, expected in (
        (NamedTable("t", "T", frame), "defensegan"),
        (NamedTable("t", "T", frame, brief=pd.DataFrame({"defense": ["other"]})), "other"),
    ):
        file = io.StringIO()
        print_named_table(Console(file=file, width=80), table, names)
        assert expected in file.getvalue()
        assert spec not in file.getvalue()


@given(st.lists(WORDS, min_size=1, max_size=30), st.integers(20, 80))
def test_a_wrapped_text_keeps_its_words(words: list[str], width: int) -> None:
    file = io.StringIO()
    say_wrapped(Console(file=file, width=width), " ".join(words), "  ")
    assert file.getvalue().split() == words
    assert all(
        len(line) <= width or len(line.split()) == 1 or "±" in line
        for line in file.getvalue().splitlines()
    )


def test_half_of_an_interval_stays_with_its_number() -> None:
    file = io.StringIO()
    say_wrapped(Console(file=file, width=24), "the gain is about +12.5 ±3.4")
    assert file.getvalue().splitlines() == ["the gain is about", "  +12.5 ±3.4"]


@pytest.mark.parametrize(("columns", "width"), [(None, 220), ("80", 80), ("120", 120), ("", 220)])
def test_a_file_has_every_column_unless_a_width_is_given(
    monkeypatch: pytest.MonkeyPatch, columns: str | None, width: int
) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    assert table_console().width == width


def test_room_goes_to_values_before_headings() -> None:
    frame = pd.DataFrame({"times none A": ["1"], "slowdown by ms": ["1.00 [0.57, 1.76] by ms"]})
    text, _ = printed(frame, 40)
    assert "1.00 [0.57, 1.76] by ms" in text
