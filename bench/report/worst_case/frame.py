"""The frame of worst cases: one row per defense and budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.metrics import clean_accuracy, robust_accuracy, share
from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.verdict import Verdict
from bench.analysis.worst_case import right_in_all
from bench.report.columns import interval_columns, with_interval
from bench.report.worst_case.budgets import (
    DefenseUnderBudget,
    ThreatBudget,
    common_submissions,
    mean_accuracy,
)

ACCURACIES = ("clean_accuracy", "graybox_accuracy", "worst_case_accuracy")

COLUMNS = (
    *("dataset", "classifier", "norm", "eps", "seed", "defense", "n", "rank"),
    *(column for name in ACCURACIES for column in with_interval(name)),
    *("submissions", "worst_case_all_submissions", "clean_all_submissions"),
    *with_interval("fixed_draw_accuracy"),
    *("graybox_attack", "graybox_verdict", "strongest", "strongest_accuracy", "basis"),
    *("cells", "not_ok", "missing_attacks", "mark", "note"),
)


def worst_case_frame(
    defenses: Sequence[DefenseUnderBudget],
    verdicts: Mapping[str, Verdict],
    ranks: Mapping[tuple[ThreatBudget, str], str],
) -> pd.DataFrame:
    """One row per defense and budget, the worst case beside the gray-box accuracy.

    `worst_case_accuracy` is the expected accuracy under the attack chosen for each image. The two
    columns `_all_submissions` count an image only where it is right in all of `submissions` draws,
    under that attack and without one; their number is the same for every defense of the run.
    `fixed_draw_accuracy` is that of the strongest attack by an attacker who knows the draw. `mark`
    is `?` where the note is one of `bench.report.worst_case.basis.DOUBTS`.

    Args:
        defenses: defenses under their budgets.
        verdicts: verdict of each cell, by key.
        ranks: rank of each budget and defense.
    """
    submissions = common_submissions(defenses)
    rows = [
        {
            **_row(defense, verdicts),
            **_all_submissions(defense, submissions),
            "rank": ranks[defense.budget, defense.defense],
        }
        for defense in defenses
    ]

    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(defense: DefenseUnderBudget, verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    fixed_draw = defense.strongest_fixed_draw
    strongest = defense.strongest
    basis = defense.basis(verdicts)

    return {
        **vars(defense.budget),
        "defense": defense.defense,
        "n": len(strongest.labels),
        **interval_columns("clean_accuracy", clean_accuracy(strongest.outcome)),
        **interval_columns("worst_case_accuracy", share(defense.worst_case.right)),
        **interval_columns(
            "fixed_draw_accuracy", robust_accuracy(fixed_draw.outcome) if fixed_draw else None
        ),
        **_graybox(defense.strongest_graybox, verdicts),
        "strongest": _title(strongest),
        "strongest_accuracy": mean_accuracy(strongest),
        "basis": basis.name,
        "cells": len(defense.cells),
        "not_ok": defense.not_ok(verdicts),
        "missing_attacks": defense.missing_attacks,
        "mark": "?" if basis.doubts else "",
        "note": "; ".join(basis.notes),
    }


def _graybox(cell: EvaluatedCell | None, verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    if cell is None:
        return {
            **interval_columns("graybox_accuracy", None),
            "graybox_attack": "",
            "graybox_verdict": "",
        }

    return {
        **interval_columns("graybox_accuracy", robust_accuracy(cell.outcome)),
        "graybox_attack": str(cell.record.labels["attack"]),
        "graybox_verdict": verdicts[cell.record.key].level,
    }


def _all_submissions(defense: DefenseUnderBudget, submissions: int) -> dict[str, Any]:
    worst = defense.worst_case
    clean = defense.cells[0].clean_right
    needed = submissions if worst.randomized else 1

    return {
        "submissions": submissions,
        "worst_case_all_submissions": float(worst.right_in_all(submissions).mean()),
        "clean_all_submissions": float(right_in_all(clean, needed).mean()),
    }


def _title(cell: EvaluatedCell) -> str:
    """The attack of a cell, and the member of its cascade that broke most images."""
    title = "{attack} eps {eps:g}, {threat}".format(**cell.record.labels)
    members = [member for member in cell.record.cascade if member.attack and member.broken]
    if not members:
        return title

    most = max(members, key=lambda member: member.broken)
    return f"{title} (most by {most.name})"
