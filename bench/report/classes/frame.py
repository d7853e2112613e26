"""The frame of classes: one row per defense, budget and class of the test images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.metrics import share
from bench.analysis.outcomes import EvaluatedCell
from bench.records.outcome import REJECTED
from bench.report.columns import interval_columns, with_interval
from bench.report.worst_case.budgets import DefenseUnderBudget

COLUMNS = (
    *("dataset", "classifier", "norm", "eps", "seed", "defense", "class", "n"),
    *with_interval("clean_accuracy"),
    *with_interval("worst_case_accuracy"),
    "taken_for",
)


def classes_frame(defenses: Sequence[DefenseUnderBudget]) -> pd.DataFrame:
    """One row per defense, budget and class that has a test image.

    `n` counts the test images of the class. `taken_for` is the class that most of them are taken
    for under the strongest single attack where it succeeds; empty where it never does.

    Args:
        defenses: defenses under their budgets.
    """
    rows = [row for defense in defenses for row in _rows(defense)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(defense: DefenseUnderBudget) -> Iterator[dict[str, Any]]:
    strongest = defense.strongest
    worst = defense.worst_case.right

    for label in np.unique(strongest.labels):
        inside = strongest.labels == label
        yield {
            **vars(defense.budget),
            "defense": defense.defense,
            "class": strongest.class_name(int(label)),
            "n": int(inside.sum()),
            **interval_columns("clean_accuracy", share(strongest.clean_right[:, inside])),
            **interval_columns("worst_case_accuracy", share(worst[inside])),
            "taken_for": _taken_for(strongest, inside),
        }


def _taken_for(cell: EvaluatedCell, inside: NDArray[Any]) -> str:
    """The name of the class that most images are taken for where the attack succeeds."""
    predictions = cell.outcome.adversarial_defended[:, inside]
    wrong = predictions[~cell.right[:, inside] & (predictions != REJECTED)]
    counts = Counter(wrong.tolist())

    return cell.class_name(counts.most_common(1)[0][0]) if counts else ""
