"""Sections of tables, which sort, filter and hide columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from markupsafe import Markup

from bench.report.accuracy.tables import accuracy_tables
from bench.report.cascade.tables import cascade_tables
from bench.report.classes.tables import class_tables
from bench.report.cross_attack.tables import cross_attack_tables
from bench.report.latency.tables import latency_tables
from bench.report.page.marks import Reasons, reasons_of
from bench.report.page.rendering import rendered
from bench.report.page.section import Section
from bench.report.page.source import PageSource
from bench.report.scaling.tables import scaling_tables
from bench.report.worst_case.tables import pair_tables, worst_case_tables
from bench.report.writers import MOST_ROWS, NamedTable

_FILTERED = {
    *("dataset", "classifier", "defense", "attack", "threat", "norm", "eps", "seed", "basis"),
    *("A", "B", "verdict", "member", "class", "engine", "precision", "device", "target", "batch"),
    "run or source",
}
"""Columns that have a list of their values to choose from."""

_FOLDED = {"reasons"}
"""Columns that are hidden at first: the page shows the reasons beside the verdicts."""


def worst_case_sections(source: PageSource) -> Iterator[Section]:
    """The worst cases, and the adaptive attack that they rest on."""
    report = source.report
    yield from _section(
        source, "worst", "Worst case", chain(worst_case_tables(report), cascade_tables(report))
    )


def accuracy_sections(source: PageSource) -> Iterator[Section]:
    """Threat models side by side, every cell, and classes."""
    report = source.report
    yield from _section(
        source, "accuracies", "Accuracy", chain(accuracy_tables(report), class_tables(report))
    )


def latency_sections(source: PageSource) -> Iterator[Section]:
    """Latency per call, and engines."""
    yield from _section(source, "latencies", "Latency", latency_tables(source.report))


def pair_sections(source: PageSource) -> Iterator[Section]:
    """Pairs of defenses."""
    yield from _section(source, "paired", "Pairs", pair_tables(source.report))


def other_sections(source: PageSource) -> Iterator[Section]:
    """Attacks in training against attacks in the test, and defenses at several parameters."""
    report = source.report
    yield from _section(
        source, "sweeps", "Sweeps", chain(cross_attack_tables(report), scaling_tables(report))
    )


def _section(
    source: PageSource, name: str, title: str, tables: Iterable[NamedTable]
) -> Iterator[Section]:
    """A section with some tables; nothing where there are none."""
    shown = [table_html(source, table) for table in tables]
    if shown:
        yield Section(name, title, Markup("\n").join(shown))


def table_html(source: PageSource, table: NamedTable) -> Markup:
    """A table of a run with its notes, and the reasons of its marks.

    Args:
        source: run of the table, whose short names it shows.
        table: table for people; its name is that of the table in links.
    """
    return named_table_html(table, reasons_of(source.report, table), source.short)


def named_table_html(
    table: NamedTable,
    reasons: Reasons,
    short: Callable[[str, str], str] = lambda _, text: text,
) -> Markup:
    """A table with its notes.

    Args:
        table: table for people; its name is that of the table in links.
        reasons: reasons of its marks.
        short: what people read in place of a value of a column.
    """
    frame = table.frame[:MOST_ROWS]
    constant = {
        str(name): short(str(name), f"{frame[name].iloc[0]}")
        for name in frame.columns
        if name in _FILTERED and len(frame) > 1 and frame[name].nunique(dropna=False) == 1
    }
    rows = [
        [
            _cell(str(name), value, reasons.get((index, str(name)), ""), short)
            for name, value in zip(frame.columns, row, strict=True)
        ]
        for index, row in enumerate(frame.itertuples(index=False))
    ]

    return rendered(
        "table.html",
        table=table,
        columns=list(map(str, frame.columns)),
        constant=constant,
        filtered=_FILTERED,
        folded={*constant, *_FOLDED},
        rows=rows,
        total=len(table.frame),
    )


def _cell(
    column: str, value: Any, reasons: str, short: Callable[[str, str], str]
) -> dict[str, str]:
    """The text of a cell, what its name stands for, and the reasons of its mark."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    name = short(column, text)

    return {"text": name, "spec": text if name != text else "", "reasons": reasons}
