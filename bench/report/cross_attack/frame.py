"""The frame of defenses that were trained for one attack and tested on another (gray-box)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis.metrics import robust_accuracy
from bench.analysis.outcomes import EvaluatedCell
from bench.report.columns import interval_columns, training_columns, with_interval

COLUMNS = (
    *("dataset", "classifier", "seed", "defense_name", "defense"),
    *("trained_for", "trained_eps", "attack", "eps", *with_interval("robust_accuracy")),
)


def cross_attack_frame(cells: Sequence[EvaluatedCell]) -> pd.DataFrame:
    """One row per gray-box cell of a defense that the run holds trained for several attacks.

    `trained_for` and `trained_eps` are described at `bench.report.columns.training_columns`.
    """
    rows = []
    for cell in cells:
        record = cell.record
        training = training_columns(record)
        if training["trained_for"] is None or record.properties.threat != "graybox":
            continue
        labels = {**record.labels, "defense_name": record.defense_name}
        accuracy = interval_columns("robust_accuracy", robust_accuracy(cell.outcome))
        rows.append({**labels, **training, **accuracy})

    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame[_trained_for_several(frame)].reset_index(drop=True)


def _trained_for_several(frame: pd.DataFrame) -> pd.Series[bool]:
    """Whether a row's defense occurs trained for several attacks or epsilons."""
    trainings = frame[["defense_name", "trained_for", "trained_eps"]].drop_duplicates()
    counts = trainings["defense_name"].value_counts()

    return (frame["defense_name"].map(counts) > 1).astype(bool)
