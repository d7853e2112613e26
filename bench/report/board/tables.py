"""Tables of a board, for people."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.report.board.board import Board, BoardTable
from bench.report.formats import formatted, half_width, interval_texts, three_digits
from bench.report.writers import NamedTable

_ACCURACY = "worst-case accuracy"
_SPARE = (
    *("device", "seeds", "clean accuracy", "note", "added ms", "times none"),
    *("run or source", "basis"),
)
"""Columns that a narrow terminal leaves out first, and never the place, defense and worst case."""

_PLACE = (
    "place: 1 + the number of rows whose interval lies above; none where no valid attack saw the "
    "defense or a verdict on one is doubtful, and none for published figures"
)
_UNEQUAL = (
    "not all rests on the same kind of attack: a row may stand above another because the attack on "
    "it was weaker, see basis"
)
_SEEDS = "of several seeds: the mean, and the lowest and highest end of their intervals"
_LATENCY = "times none: latency of one call over that without a defense, at the smallest batch"
_DOUBT = "?: may be no worst case, the note says why"


def board_tables(board: Board) -> Iterator[NamedTable]:
    """A table for each group of comparable numbers."""
    for number, table in enumerate(board.tables, start=1):
        conditions = table.conditions
        title = (
            f"Worst case: {conditions.dataset}, {conditions.classifier}, {conditions.norm}, "
            f"eps {conditions.eps:g}; {conditions.n:,} images"
        )
        notes = "\n".join(_notes(board, table))
        frame = board_table(board, table)
        yield NamedTable(
            f"board_{number}", title, frame, notes, brief=_brief(table, frame), spare=_SPARE
        )


def board_table(board: Board, table: BoardTable) -> pd.DataFrame:
    """One row per run and defense, then one per published figure."""
    frame = table.frame
    shown = pd.DataFrame({"place": formatted(frame["place"], "{:.0f}")})
    shown["defense"] = [board.defenses[defense] for defense in frame["defense"]]
    shown["run or source"] = frame["source"]
    shown[_ACCURACY] = _marked(frame, interval_texts(_ours(frame), "worst_case_accuracy"))
    shown["clean accuracy"] = formatted(frame["clean_accuracy"], "{:.3f}")
    shown["basis"] = frame["basis"]
    shown["times none"] = frame["times_none"].map(three_digits)
    shown["added ms"] = frame["added_ms"].map(three_digits)
    shown["seeds"] = formatted(frame["seeds"], "{:.0f}")
    shown["device"] = frame["device"]
    shown["note"] = frame["note"]

    return shown


def _brief(table: BoardTable, frame: pd.DataFrame) -> pd.DataFrame:
    """A table for the terminal; a number of seeds that is always one would read like a seed."""
    brief = frame.assign(**{_ACCURACY: _marked(table.frame, _brief_accuracies(table.frame))})

    return brief if (table.frame["seeds"] > 1).any() else brief.drop(columns="seeds")


def _brief_accuracies(frame: pd.DataFrame) -> list[str]:
    """Accuracies with half of their intervals; empty where a figure was printed without one."""
    return half_width(_ours(frame), "worst_case_accuracy", "{:.3f}", "{:.3f}")


def _ours(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without the accuracies that were printed."""
    ours = frame["worst_case_accuracy"].where(~frame["published"].astype(bool))

    return frame.assign(worst_case_accuracy=ours)


def _marked(frame: pd.DataFrame, texts: list[str]) -> list[str]:
    """Accuracies, also those without an interval, with the mark of what is no worst case."""
    values = zip(texts, frame["worst_case_accuracy"], frame["mark"], strict=True)

    return [(text or f"{value:.3f}") + (" ?" if mark else "") for text, value, mark in values]


def _notes(board: Board, table: BoardTable) -> Iterator[str]:
    if table.apart:
        yield f"not comparable with the first table of this budget: {table.apart}"
    yield _PLACE
    if table.frame.loc[table.frame["place"].notna(), "basis"].nunique() > 1:
        yield _UNEQUAL
    if table.changed:
        names = ", ".join(board.defenses[spec] for spec in table.changed)
        yield f"the same specs with other parameters in another run: {names}"
    if (table.frame["mark"] != "").any():
        yield _DOUBT
    if (table.frame["seeds"] > 1).any():
        yield _SEEDS
    if table.frame["times_none"].notna().any():
        yield _LATENCY
    hidden = board.defenses.hidden()
    for name in dict.fromkeys(board.defenses[spec] for spec in table.frame["defense"]):
        if name in hidden:
            yield f"{name}: {hidden[name]}"
