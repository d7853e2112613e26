"""Tables are printed when they are new or have changed."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bench.commands import printed_tables
from bench.commands.display import SHOW_TABLES, Display
from bench.commands.printed_tables import PrintedTables
from bench.report.naming import RunNames
from bench.report.writers import NamedTable

FRAME = pd.DataFrame({"defense": ["none"], "accuracy": ["0.5"], "share": [float("nan")]})
FIRST = NamedTable("first", "First", FRAME, "a note")
SAME = NamedTable("first", "First", FRAME.copy(), "a note")


def shown(
    monkeypatch: pytest.MonkeyPatch, *reports: list[NamedTable], display: Display = SHOW_TABLES
) -> list[list[str]]:
    """The titles that each report prints."""
    console = Console(file=io.StringIO(), width=120)
    monkeypatch.setattr(printed_tables, "tables", lambda report: iter(report.tables))
    monkeypatch.setattr(Display, "console", console)
    printer = PrintedTables(display)
    titles = []
    for report in reports:
        console.file = io.StringIO()
        content: Any = SimpleNamespace(tables=report, names=RunNames())
        printer.show(content)
        text = console.file.getvalue()
        titles.append([word for word in ("First", "Other", "Second") if word in text])
    return titles


def test_a_table_that_stayed_the_same_is_printed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    second = NamedTable("second", "Second", FRAME)
    assert shown(monkeypatch, [FIRST], [SAME, second], [SAME, second]) == [
        ["First"],
        ["Second"],
        [],
    ]


@pytest.mark.parametrize(
    "changed",
    [
        NamedTable("first", "First", FRAME.assign(accuracy="0.6"), "a note"),
        NamedTable("first", "First", FRAME.rename(columns={"share": "part"}), "a note"),
        NamedTable("first", "First", pd.concat([FRAME, FRAME]), "a note"),
        NamedTable("first", "First", FRAME, "First, with another note"),
    ],
)
def test_a_table_that_changed_is_printed_again(
    monkeypatch: pytest.MonkeyPatch, changed: NamedTable
) -> None:
    reports = ([FIRST], [changed], [changed], [SAME])
    assert shown(monkeypatch, *reports) == [["First"], ["First"], [], ["First"]]


def test_a_table_for_files_alone_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = NamedTable("first", "First", FRAME, printed=False)
    assert shown(monkeypatch, [hidden], [FIRST]) == [[], ["First"]]
    assert shown(monkeypatch, [hidden], display=Display(verbose=True)) == [["First"]]


@pytest.mark.parametrize("display", [Display(quiet=True), Display(json=True)])
def test_no_table_is_printed_where_only_the_decision_is_shown(
    monkeypatch: pytest.MonkeyPatch, display: Display
) -> None:
    assert shown(monkeypatch, [FIRST], display=display) == [[]]
