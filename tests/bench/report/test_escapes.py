"""Escapes: each format shows a text as it is, whatever the text holds."""

from __future__ import annotations

import ast
import csv
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console

from bench.report import escapes
from bench.report.terminal import print_named_table
from bench.report.writers import MOST_LATEX_ROWS, MOST_ROWS, NamedTable, write_frame, write_table
from bench.store.tree import Tree
from bench.text import one_line, visible

SPECIAL = "|`*_~<>&#;[]()!\\$%^{}=+-@:./\"' \n\r\t\x00\x07\x1b\x85\u2028\u202e\ufffe\uff1d"
TEXTS = st.text(st.sampled_from(SPECIAL + "aZ09é") | st.characters(), max_size=40)

HOSTILE = (
    "=1+1",
    "\x1b[0m=HYPERLINK(1)",
    "\t@SUM(A1)",
    "[click](javascript:alert(1))",
    "![x](https://example.org/x.png)",
    "<img src=x onerror=alert(1)>",
    "a | b\\| c",
    "`code` *bold* _it_ __b__ ~~gone~~",
    "&lt;script&gt; &#60;",
    "# heading",
    "1. item",
    "[x]: https://example.org",
    "\\input{/etc/passwd} ^^M \\\\ & % #",
    "[3cm] \\write18{touch x}",
    "a\nb\r\n\x1b]0;title\x07\x1b[2J\u202eevil",
    "[bold red]markup[/] :bomb:",
)
FREE = {"text", "paragraph_open", "paragraph_close", "inline", "text_special"}


def hostile(test: object) -> object:
    """The test, with every hostile text as an example."""
    for text in HOSTILE:
        test = example(text)(test)  # type: ignore[arg-type]
    return settings(max_examples=60, deadline=None)(test)


def written(frame: pd.DataFrame, notes: str = "") -> dict[str, str]:
    """The texts of the three files of a table, by their ending."""
    with TemporaryDirectory() as folder:
        write_frame(Tree(Path(folder)), "t", frame)
        write_table(Tree(Path(folder)), NamedTable("t", "title", frame, notes))
        return {
            path.suffix: path.read_bytes().decode() for path in (Path(folder) / "tables").iterdir()
        }


def frame_of(text: str) -> pd.DataFrame:
    """A table with the text in the first and the last cell of a row and in a heading.

    Texts are objects: the strings of Arrow, which pandas prefers, cannot hold half of a pair.
    """
    cells = [
        pd.Series([text, "x"], dtype=object),
        [0.5, -1.5],
        pd.Series(["y", text], dtype=object),
    ]
    frame = pd.DataFrame(dict(enumerate(cells)))
    frame.columns = pd.Index(["first", f"h {text}", "last"], dtype=object)
    return frame


def shown(text: str) -> str:
    """The text as a reader of a table sees it."""
    return one_line(text, escapes.LONGEST_CELL)


def leaves(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from leaves(token.children) if token.children else [token]


def parsed(markdown: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)


@hostile
@given(TEXTS)
def test_markdown_shows_every_cell_as_it_is(text: str) -> None:
    tokens = parsed(written(frame_of(text))[".md"])
    cells = [token for token in tokens if token.type == "inline"]
    texts = ["".join(leaf.content for leaf in leaves([cell])) for cell in cells]
    heading = shown(f"h {text}")
    assert texts == ["first", heading, "last", shown(text), "0.5", "y", "x", "-1.5", shown(text)]
    assert {leaf.type for leaf in leaves(cells)} <= FREE


@hostile
@given(TEXTS)
def test_a_note_is_a_paragraph_of_plain_text(text: str) -> None:
    tokens = parsed(escapes.markdown_note(text))
    assert {token.type for token in leaves(tokens)} <= FREE
    assert "".join(leaf.content for leaf in leaves(tokens)) == shown(text)
    code = parsed(escapes.markdown_code(text))
    assert {token.type for token in leaves(code)} <= {*FREE, "code_inline"} or not shown(text)


@hostile
@given(TEXTS)
def test_a_spreadsheet_finds_texts_and_numbers_and_no_formula(text: str) -> None:
    rows = list(csv.reader(io.StringIO(written(frame_of(text))[".csv"], newline="")))
    assert [len(row) for row in rows] == [3, 3, 3]
    assert [row[1] for row in rows[1:]] == ["0.5", "-1.5"]
    for cell in (rows[1][0], rows[2][2], rows[0][1]):
        assert not re.match(r"\s*[=+@\-\uff1d\uff0b\uff0d\uff20]", cell) or is_number(cell)
        assert cell.isprintable() or visible(cell) == cell
        assert not set("\n\r\t\x1b\x00\u2028\u202e") & set(cell)


def is_number(text: str) -> bool:
    try:
        return bool(np.float64(text) is not None)
    except ValueError:
        return False


def test_numbers_in_text_and_missing_values_stay_in_a_csv_file() -> None:
    frame = pd.DataFrame(
        {"a": ["-0.5", "+3", "-inf"], "b": [1.0, np.nan, -2.0], "c": [True, None, "x"]}
    )
    assert written(frame)[".csv"] == "a,b,c\n-0.5,1,True\n+3,,\n-inf,-2,x\n"


LATEX = re.compile(
    r"\\textbackslash\{\}|\\textasciitilde\{\}|\\textasciicircum\{\}|\\[&%$#_{}]|[^\\&%$#_{}~^]"
)


def read_latex(cell: str) -> str:
    """The text that LaTeX sets for a cell; fails on a command that is none of the escapes."""
    parts = LATEX.findall(cell)
    assert "".join(parts) == cell
    names = {"textbackslash{}": "\\", "textasciitilde{}": "~", "textasciicircum{}": "^"}
    return "".join(names.get(part[1:], part[1:]) if part[0] == "\\" else part for part in parts)


@hostile
@given(TEXTS)
def test_latex_sets_every_cell_as_it_is(text: str) -> None:
    latex = written(frame_of(text), notes=text)[".tex"]
    rows = [line for line in latex.split("\n") if line.endswith(r" \\")]
    assert not [row for row in rows if row.startswith(("[", "*"))]
    plain = latex.replace(r"\allowbreak{}", "").replace(r"$\pm$", "±").replace(" \\\\ {}", " ")
    for set_apart in (
        r"\{\\scriptsize ([^{}]*)\}",
        r"\\begin\{tabular\}\[b\]\{@\{\}.@\{\}\}(.*?)\\end\{tabular\}",
        r"\\parbox\[b\]\{\d+pt\}\{\\ragged\w+ (.*)\}(?= &| \\\\$)",
    ):
        plain = re.sub(set_apart, r"\1", plain, flags=re.MULTILINE)
    rows = [line for line in plain.split("\n") if line.endswith(r" \\")]
    cells = [read_latex(cell) for row in rows for cell in row[:-3].removeprefix("{}").split(" & ")]
    assert cells.count(shown(text)) >= 2  # those of both rows
    assert {"0.5", "y", "x", "-1.5", "first", "last"} <= set(cells)
    notes = [line[6:] for line in plain.split("\n") if line.startswith(r"\item ")]
    shown_notes = [shown(line) for line in text.splitlines()]
    assert [read_latex(note) for note in notes] == shown_notes or r"\noindent" in plain


@hostile
@given(TEXTS)
def test_the_terminal_gets_no_code_and_rich_no_markup(text: str) -> None:
    file = io.StringIO()
    named = NamedTable("t", f"title {text}", frame_of(text), notes=text)
    print_named_table(Console(file=file, width=900), named)
    printed = file.getvalue()
    assert visible(printed) == printed
    if "  " not in shown(text):
        assert printed.count(shown(text)) >= 4


@hostile
@given(TEXTS)
def test_shell_and_python_read_the_text_back(text: str) -> None:
    word = escapes.shell_word(text)
    assert shlex.split(f"echo {word} end", comments=True) == ["echo", one_line(text, 99), "end"]
    assert word.isprintable() or "\n" not in word
    literal = escapes.python_text(text)
    assert ast.literal_eval(literal) == visible(text)
    assert len(literal.split("\n")) == 1


def test_a_long_table_is_cut_for_people_and_whole_in_its_csv_file() -> None:
    frame = pd.DataFrame({"a": range(MOST_ROWS + 5)})
    texts = written(frame)
    note = f"the first {MOST_ROWS} of {MOST_ROWS + 5} rows; the CSV files have them all"
    assert texts[".csv"].count("\n") == MOST_ROWS + 6
    assert texts[".md"].endswith(f"\n{note}\n")
    assert f"the first {MOST_LATEX_ROWS} of" in texts[".tex"]
    assert texts[".tex"].count(" \\\\\n") < MOST_LATEX_ROWS + 10
    assert texts[".md"].count("\n|") == MOST_ROWS + 1


@pytest.mark.parametrize("text", ["x" * 3_000, "words and " * 300])
def test_a_cell_of_thousands_of_characters_is_cut_for_people(text: str) -> None:
    texts = written(pd.DataFrame({"a": [text]}))
    assert text.strip() in texts[".csv"]
    assert max(len(line) for line in texts[".md"].splitlines()) < 1_010


@pytest.mark.parametrize(
    "text",
    [
        "convae:attack=[pgd:steps=3:rel_stepsize=0.5]:eps=0.15",
        "0.950 [0.923, 0.980] ?",
        "fgsm @ 0.3, threat_model; p < 0.05 & more",
        "NVIDIA H100 80GB HBM3, PyTorch 2.6.0+cu124",
    ],
)
def test_our_own_labels_stay_readable(text: str) -> None:
    assert escapes.markdown_text(text) == text
    assert escapes.csv_text(text) == text
    assert escapes.figure_text(text) == text
