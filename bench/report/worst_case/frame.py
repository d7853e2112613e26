"""The frame of worst cases: one row per defense and budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.metrics import clean_accuracy, robust_accuracy, share
from bench.analysis.verdict import Verdict
from bench.report.columns import interval_columns, with_interval
from bench.report.worst_case.budgets import DefenseUnderBudget, ThreatBudget, mean_accuracy

ACCURACIES = ("clean_accuracy", "graybox_accuracy", "worst_case_accuracy")

COLUMNS = (
    *("dataset", "classifier", "norm", "eps", "seed", "defense", "n", "rank"),
    *(column for name in ACCURACIES for column in with_interval(name)),
    *("graybox_attack", "strongest", "strongest_accuracy"),
    *("cells", "not_ok", "missing_attacks", "note"),
)


def worst_case_frame(
    defenses: Sequence[DefenseUnderBudget],
    verdicts: Mapping[str, Verdict],
    ranks: Mapping[tuple[ThreatBudget, str], str],
) -> pd.DataFrame:
    """One row per defense and budget, the worst case beside the gray-box accuracy.

    Args:
        defenses: defenses under their budgets.
        verdicts: verdict of each cell, by key.
        ranks: rank of each budget and defense.
    """
    rows = [_row(defense, verdicts, ranks) for defense in defenses]

    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(
    defense: DefenseUnderBudget,
    verdicts: Mapping[str, Verdict],
    ranks: Mapping[tuple[ThreatBudget, str], str],
) -> dict[str, Any]:
    graybox = defense.strongest_graybox
    strongest = defense.strongest
    graybox_accuracy = robust_accuracy(graybox.outcome) if graybox else None
    worst_case = share(defense.right_under_all_attacks)

    return {
        **vars(defense.budget),
        "defense": defense.defense,
        "n": len(strongest.labels),
        "rank": ranks[defense.budget, defense.defense],
        **interval_columns("clean_accuracy", clean_accuracy(strongest.outcome)),
        **interval_columns("graybox_accuracy", graybox_accuracy),
        **interval_columns("worst_case_accuracy", worst_case),
        "graybox_attack": str(graybox.record.labels["attack"]) if graybox else "",
        "strongest": "{attack} eps {eps:g}, {threat}".format(**strongest.record.labels),
        "strongest_accuracy": mean_accuracy(strongest),
        "cells": len(defense.cells),
        "not_ok": defense.not_ok(verdicts),
        "missing_attacks": defense.missing_attacks,
        "note": defense.note(verdicts),
    }
