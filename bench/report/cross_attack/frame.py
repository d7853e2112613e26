"""The frame of defenses that were trained for one attack and tested on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from bench.analysis.metrics import robust_accuracy
from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.verdict import Verdict
from bench.report.columns import interval_columns, training_columns, with_interval

_THREATS = ("graybox", "adaptive")
"""Threat models of the cells: the one of the reproduced paper, and the strongest."""

COLUMNS = (
    *("dataset", "classifier", "seed", "defense_name", "defense"),
    *("trained_for", "trained_eps", "attack", "eps", "threat"),
    *(*with_interval("robust_accuracy"), "verdict"),
)


def cross_attack_frame(
    cells: Sequence[EvaluatedCell], verdicts: Mapping[str, Verdict]
) -> pd.DataFrame:
    """One row per cell of a defense that the run holds trained for several attacks.

    The cells are those of the threat models `graybox`, the paper's, and `adaptive`.

    `trained_for` and `trained_eps` are described at `bench.report.columns.training_columns`.

    Args:
        cells: ok cells of the run.
        verdicts: verdict of each cell, by key.
    """
    rows = []
    for cell in cells:
        record = cell.record
        training = training_columns(record)
        if training["trained_for"] is None or record.properties.threat not in _THREATS:
            continue
        labels = {**record.labels, "defense_name": record.defense_name}
        accuracy = interval_columns("robust_accuracy", robust_accuracy(cell.outcome))
        verdict = {"verdict": verdicts[record.key].level}
        rows.append({**labels, **training, **accuracy, **verdict})

    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame[_trained_for_several(frame)].reset_index(drop=True)


def _trained_for_several(frame: pd.DataFrame) -> pd.Series[bool]:
    """Whether a row's defense occurs trained for several attacks or epsilons."""
    trainings = frame[["defense_name", "trained_for", "trained_eps"]].drop_duplicates()
    counts = trainings["defense_name"].value_counts()

    return (frame["defense_name"].map(counts) > 1).astype(bool)
