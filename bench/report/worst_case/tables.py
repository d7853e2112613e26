"""Tables of worst cases and of pairs of defenses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.report.columns import by_rank, seed_column
from bench.report.formats import (
    HALF_WIDTH,
    MARKS,
    formatted,
    half_width,
    interval_texts,
    marked,
    three_digits,
)
from bench.report.naming import RunNames
from bench.report.report import Report
from bench.report.worst_case.basis import DOUBTS
from bench.report.writers import NamedTable

_WORST_CASE = "worst-case accuracy: expected accuracy under the attack chosen for each image"
_SUBMISSIONS = (
    "all of {count}: right in all of {count} submissions of the image, under the attack chosen for "
    "it and, clean, without any"
)
_FIXED_DRAW = "fixed draw: the attacker knows the random draw, which the worst case does not grant"
_RANKS = (
    "rank: 1 + the number of defenses that beat it (paired test on the same images, Holm's "
    "correction, level 0.05), see pairs.md"
)
_ACCURACIES = {
    "clean accuracy": "clean_accuracy",
    "gray-box accuracy": "graybox_accuracy",
    "worst-case accuracy": "worst_case_accuracy",
}
_SPARE = ("cells", "not ok", "note", "strongest", "fixed draw")
"""Headings of the columns that a narrow terminal leaves out first."""

_DOUBTS = f"? at a worst case: {', or '.join(DOUBTS)}"
_MISSING = "? at a rank: also that the defense faced fewer attacks than others"


def worst_case_tables(report: Report) -> Iterator[NamedTable]:
    """The worst cases; on the terminal only where there are several attacks or threat models."""
    worst = report.worst_case
    if worst.empty:
        return

    ok = report.results[report.results["status"] == "ok"]
    several = ok["threat"].nunique() > 1 or ok["attack"].nunique() > 1
    title = "Worst case over all attacks within a budget"
    ranked = by_rank(worst)
    yield NamedTable(
        "worst_case",
        title,
        worst_case_table(ranked),
        "\n".join(_notes(worst)),
        printed=several,
        brief=brief_table(ranked, report.names),
        brief_notes="\n".join((f"{_WORST_CASE}; {HALF_WIDTH}", *list(_notes(worst))[1:])),
        spare=_SPARE,
    )


def pair_tables(report: Report) -> Iterator[NamedTable]:
    """All pairs of defenses, in a file only."""
    if not report.pairs.empty:
        table = pairs_table(report.pairs)
        yield NamedTable("pairs", "Pairs of defenses", table, printed=False)


def worst_case_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per defense and budget: rank, accuracies, attacks, and what they rest on.

    Figures of several submissions and of a fixed draw have columns where the run gives them.
    """
    labels = ["dataset", "classifier", "norm", "eps", *seed_column(frame), "defense"]
    table = frame[labels].copy()
    table["rank"] = frame["rank"] + np.where(_doubtful_rank(frame), "?", "")
    table["clean accuracy"] = interval_texts(frame, "clean_accuracy")
    graybox = interval_texts(frame, "graybox_accuracy")
    table["gray-box accuracy"] = [*map(marked, graybox, frame["graybox_verdict"])]
    marks = np.where(frame["mark"] != "", " " + frame["mark"], "")
    table["worst-case accuracy"] = interval_texts(frame, "worst_case_accuracy") + marks
    if _has_submissions(frame):
        name = f"all of {frame['submissions'].iloc[0]}"
        table[name] = formatted(frame["worst_case_all_submissions"], "{:.3f}")
        table[f"{name}, clean"] = formatted(frame["clean_all_submissions"], "{:.3f}")
    if _has_fixed_draw(frame):
        table["fixed draw"] = interval_texts(frame, "fixed_draw_accuracy")

    accuracies = formatted(frame["strongest_accuracy"], "{:.3f}")
    strongest = zip(frame["strongest"], accuracies, strict=True)
    table["strongest"] = [f"{name}: {accuracy}" for name, accuracy in strongest]
    table["basis"] = frame["basis"]
    table["cells"] = frame["cells"]
    table["not ok"] = frame["not_ok"]
    if frame["note"].any():
        table["note"] = frame["note"]

    return table


def brief_table(frame: pd.DataFrame, names: RunNames) -> pd.DataFrame:
    """The same rows for the terminal: short names, half widths in place of intervals."""
    whole = worst_case_table(frame)
    table = names.shown(whole)
    for heading, name in _ACCURACIES.items():
        table[heading] = half_width(frame, name, "{:.3f}", "{:.3f}")
    table["gray-box accuracy"] = [
        *map(marked, table["gray-box accuracy"], frame["graybox_verdict"])
    ]
    marks = np.where(frame["mark"] != "", " " + frame["mark"], "")
    table["worst-case accuracy"] = table["worst-case accuracy"] + marks

    return table


def pairs_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of defenses, budget and basis."""
    labels = ["dataset", "classifier", "norm", "eps", *seed_column(frame), "basis"]
    table = frame[labels].copy()
    table["A"] = frame["defense_a"]
    table["B"] = frame["defense_b"]
    table["accuracy A"] = formatted(frame["accuracy_a"], "{:.3f}")
    table["accuracy B"] = formatted(frame["accuracy_b"], "{:.3f}")
    table["A only"] = frame["a_only"]
    table["B only"] = frame["b_only"]
    table["p"] = frame["p"].map(three_digits)
    table["p, Holm"] = frame["p_holm"].map(three_digits)
    table["result"] = frame["result"]
    table["note"] = frame["note"]

    return table


def _notes(worst: pd.DataFrame) -> Iterator[str]:
    """A line for each kind of column that needs an explanation."""
    yield _WORST_CASE
    if _has_submissions(worst):
        yield _SUBMISSIONS.format(count=worst["submissions"].iloc[0])
    if _has_fixed_draw(worst):
        yield _FIXED_DRAW
    yield _RANKS
    if (worst["mark"] != "").any():
        yield _DOUBTS
    if (worst["missing_attacks"] > 0).any():
        yield _MISSING
    if worst["graybox_verdict"].isin(["suspect", "invalid"]).any():
        yield f"at gray-box accuracies: {MARKS}"


def _has_submissions(worst: pd.DataFrame) -> bool:
    return bool((worst["submissions"] > 1).any())


def _has_fixed_draw(worst: pd.DataFrame) -> bool:
    return bool(worst["fixed_draw_accuracy"].notna().any())


def _doubtful_rank(worst: pd.DataFrame) -> pd.Series[bool]:
    """Whether a rank is not a comparison of equals."""
    return (worst["mark"] != "") | (worst["missing_attacks"] > 0)
