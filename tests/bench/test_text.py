"""Text of foreign origin is shown without what a terminal obeys, in one line where asked for."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.text import one_line, visible

any_text = st.text(st.characters(codec=None), max_size=80) | st.text(
    st.sampled_from("\x1b[]\x9b0;m\x07\\ \n\t\u202eab"), max_size=40
)


@given(any_text)
def test_what_is_shown_has_nothing_that_a_terminal_obeys(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(each) for each in shown if each not in "\n\t"} & {"Cc", "Cs"}
    assert not set(shown) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200f")
    assert visible(shown) == shown
    shown.encode()


@given(any_text, st.integers(10, 100))
def test_a_line_is_one_of_bounded_length(text: str, most: int) -> None:
    line = one_line(text, most)
    assert len(line.splitlines()) <= 1
    assert len(line) <= most
    assert one_line(line, most) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x9b2Jtext", "text"),
        ("\x1bctext", "text"),
        ("a\u202eb\x00c\udc80", "a�b�c�"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("naïve ☃ 数", "naïve ☃ 数"),
    ],
)
def test_codes_are_removed_and_other_characters_kept(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (" one \n\n two\u2028three ", "one two three"),
        ("exactly twenty chars", "exactly twenty chars"),
        ("cut between the words", "cut between the …"),
        ("a " + "x" * 30, "a " + "x" * 16 + " …"),
    ],
)
def test_a_line_is_cut_between_words(text: str, line: str) -> None:
    assert one_line(text, 20) == line
