"""Columns that several frames share: intervals, norms, training attacks, seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.metrics import Accuracy
from bench.analysis.verdict import LEVELS, Level
from bench.records.cell import CellRecord

NO_NORM = "no norm"
"""Name of the norm in tables where epsilon bounds none."""

CONSTANT_COLUMNS = frozenset(
    {
        *("dataset", "classifier", "attack", "eps", "threat", "norm", "seed", "seeds", "cells"),
        *("basis", "engine", "precision", "device"),
    }
)
"""Columns that stand above a table for people where all rows hold the same value."""

TEXT_COLUMNS = CONSTANT_COLUMNS | {
    *("defense", "A", "B", "target", "network", "trained for"),
    *("verdict", "reasons", "result", "strongest", "not ok", "note"),
    *("member", "most by", "not applied", "dominated by", "rests on", "run or source"),
}
"""Columns of words, which stand on the left."""


def norm_name(record: CellRecord) -> str:
    """The norm that the cell's epsilon bounds, as tables name it."""
    return record.properties.norm or NO_NORM


def title_of(labels: Mapping[str, Any]) -> str:
    """The labels of a cell in one line."""
    return " ".join(
        f"{name} {value}" if name in ("eps", "seed") else str(value)
        for name, value in labels.items()
    )


def with_interval(name: str) -> tuple[str, str, str]:
    """The columns of a share and of the ends of its interval."""
    return name, f"{name}_low", f"{name}_high"


def interval_columns(name: str, value: Accuracy | None) -> dict[str, float]:
    """A share and the ends of its interval as three columns; NaN for None."""
    numbers = 3 * (math.nan,) if value is None else (value.value, value.low, value.high)

    return dict(zip(with_interval(name), numbers, strict=True))


def training_columns(record: CellRecord) -> dict[str, Any]:
    """The attacks and the epsilon that a defense was trained for, its parameters of these names.

    Returns:
        `trained_for`: comma-separated specs of attacks; None for a defense trained without attack.
        `trained_eps`: epsilon of these attacks; None where the defense has no such parameter.
    """
    parameters = record.parameters.get("defense", {})
    attacks = parameters.get("attack")
    if not attacks:
        return {"trained_for": None, "trained_eps": None}

    several = isinstance(attacks, Iterable) and not isinstance(attacks, str)
    specs = ",".join(map(str, attacks)) if several else str(attacks)

    return {"trained_for": specs, "trained_eps": parameters.get("eps")}


def attack_title(attacks: object, eps: float | None) -> str:
    """Attacks with their epsilon for people, such as `fgsm @ 0.3`; NaN stands for no epsilon."""
    return str(attacks) if eps is None or pd.isna(eps) else f"{attacks} @ {eps:g}"


def seed_column(frame: pd.DataFrame) -> list[str]:
    """The column of seeds where a frame has several seeds, else nothing."""
    return ["seed"] if frame["seed"].nunique() > 1 else []


def by_rank(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each budget by rank; budgets keep their order, and equal ranks theirs."""
    budgets = frame.groupby(["dataset", "classifier", "norm", "eps", "seed"], sort=False).ngroup()
    ranks = frame["rank"].str.rstrip("=").astype(int)
    order = np.lexsort((ranks, budgets))

    return frame.iloc[order].reset_index(drop=True)


def over_seeds(rows: pd.DataFrame, *labels: str) -> pd.DataFrame:
    """Means over all rows with the same labels, in the order in which the labels appear.

    Where the rows have verdicts, the worst level of the rows.
    """
    groups = rows.groupby(list(labels), as_index=False, sort=False)
    means = groups.mean(numeric_only=True)
    if "verdict" in rows:
        means["verdict"] = groups["verdict"].agg(worst_level)["verdict"]

    return means


def worst_level(levels: Iterable[Level]) -> Level:
    """The worst of some levels of verdicts."""
    return max(levels, key=LEVELS.index)
