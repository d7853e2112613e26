"""Tables of worst cases and of pairs of defenses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.report.columns import seed_column
from bench.report.formats import formatted, interval_texts, three_digits
from bench.report.report import Report
from bench.report.worst_case.budgets import NO_ADAPTIVE_ATTACK
from bench.report.writers import NamedTable

_RANKS = (
    "rank: 1 + the number of defenses that beat it (exact McNemar test, Holm's correction, "
    "level 0.05), see pairs.md"
)


def worst_case_tables(report: Report) -> Iterator[NamedTable]:
    """The worst cases; on the terminal only where there are several attacks or threat models."""
    worst = report.worst_case
    if worst.empty:
        return

    ok = report.results[report.results["status"] == "ok"]
    several = ok["threat"].nunique() > 1 or ok["attack"].nunique() > 1
    title = "Worst case over all attacks within a budget, image by image"
    notes = _RANKS
    if _doubtful(worst).any():
        notes += f"; ?: {NO_ADAPTIVE_ATTACK}, or the defense faced fewer attacks than others"
    yield NamedTable("worst_case", title, worst_case_table(worst), notes, printed=several)


def pair_tables(report: Report) -> Iterator[NamedTable]:
    """All pairs of defenses, in a file only."""
    if not report.pairs.empty:
        table = pairs_table(report.pairs)
        yield NamedTable("pairs", "Pairs of defenses", table, printed=False)


def worst_case_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per defense and budget: rank, clean, gray-box and worst-case accuracy, attacks."""
    labels = ["dataset", "classifier", "norm", "eps", *seed_column(frame), "defense"]
    table = frame[labels].copy()
    table["rank"] = frame["rank"] + np.where(_doubtful(frame), "?", "")
    table["clean accuracy"] = interval_texts(frame, "clean_accuracy")
    table["gray-box accuracy"] = interval_texts(frame, "graybox_accuracy")
    table["worst-case accuracy"] = interval_texts(frame, "worst_case_accuracy")

    accuracies = formatted(frame["strongest_accuracy"], "{:.3f}")
    strongest = zip(frame["strongest"], accuracies, strict=True)
    table["strongest"] = [f"{name}: {accuracy}" for name, accuracy in strongest]
    table["cells"] = frame["cells"]
    table["not ok"] = frame["not_ok"]
    if frame["note"].any():
        table["note"] = frame["note"]

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


def _doubtful(worst: pd.DataFrame) -> pd.Series[bool]:
    """Whether a rank is not a comparison of equals."""
    return (worst["note"] == NO_ADAPTIVE_ATTACK) | (worst["missing_attacks"] > 0)
