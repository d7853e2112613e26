"""Tables for LaTeX: each part fits its line, no column is lost, and LaTeX itself agrees."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.report.latex.layout import parts
from bench.report.latex.table import LatexTable
from bench.report.latex.widths import COLUMN_WIDTH, TEXT_WIDTH
from bench.report.latex.writing import latex_of

WORDS = st.text("abcm:=_ 0123456789", min_size=1, max_size=60)
NUMBER = "0.950 [0.923, 0.980] ?"


@st.composite
def tables(draw: st.DrawFn) -> LatexTable:
    labels = draw(st.integers(1, 3))
    values = draw(st.integers(0, 8))
    rows = draw(st.integers(1, 4))
    columns = [[draw(WORDS) for _ in range(rows)] for _ in range(labels)]
    columns += [[draw(st.sampled_from([NUMBER, "1", "words " * 9]))] * rows for _ in range(values)]
    headings = [("", draw(WORDS)) for _ in range(labels)]
    headings += [(draw(st.sampled_from(["fgsm", "pgd"])), draw(WORDS)) for _ in range(values)]
    return LatexTable(
        name="any",
        caption=draw(WORDS),
        headings=headings,
        rows=list(zip(*columns, strict=True)),
        labels=labels,
        texts=frozenset(range(labels)),
        notes=[draw(WORDS)],
        width=draw(st.sampled_from([COLUMN_WIDTH, TEXT_WIDTH])),
    )


@settings(deadline=None)
@given(tables())
def test_each_part_fits_a_line_and_no_column_is_lost(table: LatexTable) -> None:
    found = parts(table)
    for part in found:
        gaps = table.gap * (len(part) - 1)
        assert sum(column.width for column in part) + gaps <= table.room
        assert [column.index for column in part][: table.labels] == list(range(table.labels))
    values = [column.index for part in found for column in part[table.labels :]]
    assert values == list(range(table.labels, len(table.headings)))


def example(name: str, labels: int, values: int, rows: int, **changes: object) -> LatexTable:
    """A table of specs and intervals, with words in its last column."""
    spec = "defensegan:restarts=4:steps=20:rel_stepsize=0.25"
    why = "no valid attack saw the defense; suspect: the gradient of the purifier misleads"
    cells = [spec] * labels + [NUMBER] * values + [why]
    fields = {
        "caption": f"A caption with {spec} and 100 % of_the & rest",
        "headings": [("", f"label {index}") for index in range(labels)]
        + [(spec if index < 2 else "pgd", f"eps 0.{index}") for index in range(values)]
        + [("", "reasons")],
        "rows": [cells] * rows,
        "labels": labels,
        "texts": frozenset({*range(labels), labels + values}),
        "notes": [why, f"defensegan: {spec}"],
        **changes,
    }
    return LatexTable(name=name, **fields)  # type: ignore[arg-type]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_finds_no_line_that_is_too_long(tmp_path: Path) -> None:
    written = [
        example("wide", 2, 9, 4),
        example("long", 3, 2, 60),
        example("narrow", 1, 0, 2),
        example("small", 1, 2, 3, font="footnotesize", bold=frozenset({(0, 1)})),
    ]
    packages = re.findall(r"usepackage\{(.*?)\}", latex_of(written[0]))[0]
    for table in written:
        (tmp_path / f"{table.name}.tex").write_text(latex_of(table))
    inputs = "\n".join(rf"\input{{{table.name}}}\clearpage" for table in written)
    (tmp_path / "all.tex").write_text(
        "\\documentclass[a4paper]{article}\n"
        f"\\usepackage{{{packages}}}\n\\begin{{document}}\n{inputs}\n\\end{{document}}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    log = (tmp_path / "all.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2_000:]
    too_long = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    assert max(too_long, default=0.0) < 1
    assert "Float too large" not in log
