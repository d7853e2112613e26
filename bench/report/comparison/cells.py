"""The frame of paired cells: accuracies and verdicts of two runs on the same test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.analysis.metrics import clean_accuracy, robust_accuracy
from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.statistics import ALPHA, holm, mcnemar
from bench.records.cell import LABELS
from bench.report.comparison.compared_run import ComparedRun, Key

ACCURACIES = {"clean_accuracy": clean_accuracy, "robust_accuracy": robust_accuracy}
"""The accuracies that are compared, by the start of their columns."""

COLUMNS = (
    *LABELS,
    *(f"{name}_{end}" for name in ACCURACIES for end in ("a", "b", "points")),
    *("a_only", "b_only", "p", "p_holm"),
    *("status_a", "status_b", "reason_b", "verdict_a", "verdict_b", "mark"),
)


def cells_frame(a: ComparedRun, b: ComparedRun, keys: Sequence[Key]) -> pd.DataFrame:
    """One row per cell that both runs have.

    `points` are percentage points, B less A; `p` is that of the paired test on the share of draws
    in which an image is right; `p_holm` is corrected over all rows.

    Args:
        a: the reference.
        b: the other run.
        keys: labels of the cells of both.
    """
    return _marked(pd.DataFrame([_row(key, a, b) for key in keys], columns=list(COLUMNS)))


def _row(key: Key, a: ComparedRun, b: ComparedRun) -> dict[str, Any]:
    row: dict[str, Any] = {**a.records[key].labels, "mark": "", "reason_b": b.records[key].reason}
    for end, run in (("a", a), ("b", b)):
        row[f"status_{end}"] = run.records[key].status
        row[f"verdict_{end}"] = run.levels.get(key, "")
        if key in run.cells:
            outcome = run.cells[key].outcome
            row.update(
                {f"{name}_{end}": accuracy(outcome).value for name, accuracy in ACCURACIES.items()}
            )

    if key in a.cells and key in b.cells:
        for name in ACCURACIES:
            row[f"{name}_points"] = 100 * (row[f"{name}_b"] - row[f"{name}_a"])
        row.update(_paired(a.cells[key], b.cells[key]))

    return row


def _paired(cell_a: EvaluatedCell, cell_b: EvaluatedCell) -> dict[str, Any]:
    test = mcnemar(cell_a.right.mean(axis=0), cell_b.right.mean(axis=0))

    return {"a_only": test.first_only, "b_only": test.second_only, "p": test.p}


def _marked(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with Holm's correction, and marks for significant differences and for failures."""
    tested = frame["p"].notna()
    frame.loc[tested, "p_holm"] = holm(frame.loc[tested, "p"].tolist())

    significant = frame["p_holm"] < ALPHA
    better = frame["robust_accuracy_points"] > 0
    frame.loc[significant & better, "mark"] = "better"
    frame.loc[significant & ~better, "mark"] = "worse"

    for end in ("a", "b"):
        invalid = frame[f"verdict_{end}"] == "invalid"
        note = (frame["mark"] + f" (invalid in {end.upper()})").str.strip()
        frame.loc[invalid, "mark"] = note

    failed = (frame["status_a"] == "failed") & (frame["status_b"] == "failed")
    frame.loc[failed, "mark"] = "failed in both"
    for end, other in (("a", "b"), ("b", "a")):
        lost = (frame[f"status_{end}"] != "ok") & (frame[f"status_{other}"] == "ok")
        frame.loc[lost, "mark"] = frame[f"status_{end}"] + f" in {end.upper()}"

    return frame
