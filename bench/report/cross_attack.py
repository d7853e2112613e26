"""Defenses trained for one attack, tested on another (gray-box)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis.metrics import share
from bench.analysis.outcomes import EvaluatedCell
from bench.report.accuracy import interval_columns, trained_for

COLUMNS = (
    *("dataset", "classifier", "seed", "name", "defense", "trained_for", "tested_on"),
    *("accuracy", "accuracy_low", "accuracy_high"),
)


def cross_attack_frame(cells: Sequence[EvaluatedCell]) -> pd.DataFrame:
    """One row per gray-box cell of a defense of which the run holds some that were trained for
    different attacks.

    What a defense was trained for, see `bench.report.accuracy.trained_for`.
    """
    rows = []
    for cell in cells:
        labels, learned = cell.record.labels, trained_for(cell.record)
        if learned is None or cell.record.properties.threat != "graybox":
            continue
        rows.append(
            {
                **{axis: labels[axis] for axis in ("dataset", "classifier", "seed", "defense")},
                "name": str(labels["defense"]).partition(":")[0],
                "trained_for": learned,
                "tested_on": f"{labels['attack']} @ {cell.eps:g}",
                **interval_columns("accuracy", share(cell.right)),
            }
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    several = frame.groupby("name")["trained_for"].transform("nunique") > 1
    return frame[several.astype(bool)].reset_index(drop=True)
