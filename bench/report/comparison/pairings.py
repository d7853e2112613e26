"""The frames of paired defenses: clean accuracy, and the worst case under each budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.outcomes import by_pipeline
from bench.analysis.statistics import ALPHA, holm, mcnemar
from bench.report.comparison.compared_run import ComparedRun, Key
from bench.report.worst_case.budgets import DefenseUnderBudget, defenses_under_budgets

Array = NDArray[Any]

_PAIRED = ("accuracy_a", "accuracy_b", "accuracy_points", "a_only", "b_only", "p", "p_holm", "mark")
CLEAN_COLUMNS = ("dataset", "classifier", "defense", "seed", *_PAIRED)
WORST_CASE_COLUMNS = ("dataset", "classifier", "norm", "eps", "seed", "defense", *_PAIRED)


def clean_frame(a: ComparedRun, b: ComparedRun, keys: Sequence[Key]) -> pd.DataFrame:
    """One row per pipeline: its accuracy on clean images in both runs, paired.

    Args:
        a: the reference.
        b: the other run.
        keys: labels of the cells that both have.
    """
    both = [key for key in keys if key in a.cells and key in b.cells]
    pipelines = by_pipeline([a.cells[key] for key in both])
    others = by_pipeline([b.cells[key] for key in both])

    rows = [
        {
            **pipeline.labels(),
            **_paired(
                cells[0].clean_right.mean(axis=0), others[pipeline][0].clean_right.mean(axis=0)
            ),
        }
        for pipeline, cells in pipelines.items()
    ]
    return _marked(rows, CLEAN_COLUMNS)


def worst_cases_frame(a: ComparedRun, b: ComparedRun, keys: Sequence[Key]) -> pd.DataFrame:
    """One row per defense and budget: its worst case in both runs, paired.

    An attack that only one run has, or that failed in one, counts in neither.

    Args:
        a: the reference.
        b: the other run.
        keys: labels of the cells that both have.
    """
    both = [key for key in keys if key in a.cells and key in b.cells]
    others = {_label(defense): defense for defense in _defenses(b, both)}

    rows = [
        {
            **vars(defense.budget),
            "defense": defense.defense,
            **_paired(defense.worst_case.right, others[_label(defense)].worst_case.right),
        }
        for defense in _defenses(a, both)
        if _label(defense) in others
    ]
    return _marked(rows, WORST_CASE_COLUMNS)


def _defenses(run: ComparedRun, keys: Iterable[Key]) -> list[DefenseUnderBudget]:
    cells = [run.cells[key] for key in keys]

    return defenses_under_budgets([cell.record for cell in cells], cells)


def _label(defense: DefenseUnderBudget) -> tuple[Any, ...]:
    return defense.budget, defense.defense


def _paired(right_a: Array, right_b: Array) -> dict[str, Any]:
    """The accuracies of both runs and their paired test, from shares of draws (n,)."""
    test = mcnemar(right_a, right_b)

    return {
        "accuracy_a": float(right_a.mean()),
        "accuracy_b": float(right_b.mean()),
        "accuracy_points": 100 * float(right_b.mean() - right_a.mean()),
        "a_only": test.first_only,
        "b_only": test.second_only,
        "p": test.p,
    }


def _marked(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """The frame with Holm's correction over all rows, and marks for significant differences."""
    frame = pd.DataFrame(rows, columns=list(columns))
    frame["p_holm"] = holm(frame["p"].tolist())

    worse = np.where(frame["accuracy_points"] < 0, "worse", "better")
    frame["mark"] = np.where(frame["p_holm"] < ALPHA, worse, "")

    return frame
