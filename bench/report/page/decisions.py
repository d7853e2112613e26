"""The section of decisions: a card for each defense, by budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import pandas as pd

from bench.report.decision.answers import NEGLIGIBLE, OPEN
from bench.report.decision.cards import LEAST_MEMORY
from bench.report.decision.gains import CLEAN_LOST, GRAYBOX_GAIN, WORST_CASE_GAIN
from bench.report.decision.tables import decision_tables
from bench.report.formats import half_width, three_digits
from bench.report.page.budgets import BUDGET, decisive
from bench.report.page.rendering import rendered
from bench.report.page.section import Section
from bench.report.page.source import PageSource
from bench.report.page.tables import table_html

_POINTS = {WORST_CASE_GAIN: "{:+z.1f}", GRAYBOX_GAIN: "{:+z.1f}", CLEAN_LOST: "{:z.1f}"}
"""Columns of gains and losses, with the format of their points."""


@dataclass(frozen=True)
class Card:
    """A defense under a budget, as text.

    Attributes:
        number: number of the card on the page.
        row: row of the decision frame, for what is shown as it is.
        name: short name of the defense.
        color: color of the defense.
        gains: name, text and points of the gains that are drawn as bars, the worst case last.
        clean: clean accuracy lost.
        worst_case: worst-case accuracy in percent.
        latency: time added to the classifier.
        memory: memory of the calls; empty where none was seen.
        dominated_by: short names of the defenses that dominate it.
    """

    number: int
    row: Mapping[str, Any]
    name: str
    color: str
    gains: tuple[tuple[str, str, float], ...]
    clean: str
    worst_case: str
    latency: str
    memory: str
    dominated_by: str


@dataclass(frozen=True)
class Budget:
    """The cards under a budget.

    Attributes:
        title: budget, with the labels in which it differs from others.
        headline: what the cards say together.
        reference: card of the undefended classifier; None where it was not run.
        cards: cards of the defenses, the most robust first.
    """

    title: str
    headline: str
    reference: Card | None
    cards: tuple[Card, ...]


def decision_sections(source: PageSource) -> Iterator[Section]:
    """The cards of all budgets, of which the page shows one at a time."""
    decisions = source.report.decisions
    if decisions.empty:
        return

    varied = [name for name in BUDGET if decisions[name].nunique() > 1 or name in ("norm", "eps")]
    numbers = count()
    budgets = [
        _budget(source, rows, varied, numbers)
        for _, rows in decisions.groupby(BUDGET, sort=False, dropna=False)
    ]

    tables = [table_html(source, table) for table in decision_tables(source.report)]
    html = rendered("decisions.html", budgets=budgets, tables=tables)
    labels = decisions[BUDGET].assign(decisive=decisive(decisions)).drop_duplicates(BUDGET)
    yield Section("decision", "Decision", html, {"budgets": labels.to_dict("records")})


def _budget(
    source: PageSource, rows: pd.DataFrame, varied: list[str], numbers: Iterator[int]
) -> Budget:
    """The cards of one budget.

    Args:
        source: run of the page.
        rows: rows of the decision frame under the budget.
        varied: labels that name the budget.
        numbers: numbers of the cards.
    """
    first = rows.iloc[0]
    parts = {
        name: f"{first[name]:g}" if name in ("eps", "seed") else source.short(name, first[name])
        for name in varied
    }
    title = " ".join(
        f"{name} {part}" if name in ("eps", "seed") else part for name, part in parts.items()
    )
    ordered = rows.sort_values("worst_case_accuracy", ascending=False, kind="stable")
    texts = pd.DataFrame(
        {name: half_width(ordered, name, form, "{:.1f}") for name, form in _POINTS.items()}
    ).to_dict("records")
    cards = [
        _card(source, row, text, next(numbers))
        for row, text in zip(ordered.to_dict("records"), texts, strict=True)
    ]
    defenses = tuple(card for card in cards if not card.row["control"])

    reference = next((card for card in cards if card.row["control"]), None)

    return Budget(title, _headline(title, defenses, reference), reference, defenses)


def _card(
    source: PageSource, row: Mapping[Any, Any], points: Mapping[Any, str], number: int
) -> Card:
    """A row of the decision frame as text.

    Args:
        source: run of the page.
        row: row of the decision frame.
        points: its gains and losses as text, by column.
        number: number of the card.
    """
    dominators = filter(None, row["dominated_by"].split(", "))

    return Card(
        number=number,
        row=row,
        name=source.short("defense", row["defense"]),
        color=source.report.looks.color(row["defense"]),
        gains=(
            ("gray-box", points[GRAYBOX_GAIN], row[GRAYBOX_GAIN]),
            ("worst case", points[WORST_CASE_GAIN], row[WORST_CASE_GAIN]),
        ),
        clean=points[CLEAN_LOST],
        worst_case=f"{row['worst_case_accuracy']:.1%}",
        latency=_latency(row),
        memory=_memory(row["memory_mib"]),
        dominated_by=", ".join(source.short("defense", name) for name in dominators),
    )


def _latency(row: Mapping[Any, Any]) -> str:
    """The time added to the classifier, and how many times the classifier's the whole takes."""
    if pd.isna(row["added_ms"]):
        return ""

    return f"{three_digits(row['added_ms'])} ms ({three_digits(row['times_none'])} times)"


def _memory(rise: float) -> str:
    """The memory of the calls; empty where none was seen."""
    return f"{rise:.1f} MiB" if rise >= LEAST_MEMORY else ""


def _headline(title: str, cards: tuple[Card, ...], reference: Card | None) -> str:
    """Whether a defense is worth it under a budget, in one or two sentences."""
    if not cards:
        return "No defense was run under this budget."
    if reference is None:
        return f"No answer yet at {title}: the classifier without a defense was not run."

    judged = [card for card in cards if card.row["robustness"] != OPEN]
    answers = {card.row["answer"] for card in cards}
    if not judged and len(answers) == 1:
        return f"No answer yet at {title}: {answers.pop()}."

    better = [card for card in judged if card.row["robustness"] == "more"]
    open_ones = len(cards) - len(judged)
    rest = f" Open for {open_ones}." if open_ones else ""
    if not better:
        return f"At {title}, no defense is shown to be more robust than none.{rest}"

    best = max(better, key=lambda card: float(card.row[WORST_CASE_GAIN]))
    cost = f" for {best.latency} of latency" if best.latency else ""
    small = sum(card.row[f"{WORST_CASE_GAIN}_high"] < NEGLIGIBLE for card in better)
    little = f", {small} of them by less than {NEGLIGIBLE:g} points" if small else ""
    are = "is" if len(better) == 1 else "are"
    return (
        f"At {title}, {len(better)} of {len(cards)} defenses {are} more robust than none{little}. "
        f"{best.name} gains most: {best.gains[-1][1]} points in the worst case{cost}.{rest}"
    )
