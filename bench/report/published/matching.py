"""Matching: the cells of a run that correspond to a published figure, and their numbers."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.report.columns import with_interval
from bench.report.published.publication import PublishedFigure
from bench.spec import Spec, split_list

NOT_IN_RUN = "not in this run"
"""State of a published figure without a matching cell."""

PRINTED_COLUMNS = ("source", "table", "dataset", "attack", "threat", "epsilon", "defense")
"""Columns of a published figure."""

OUR_COLUMNS = ("classifier", "our_attack", "our_defense", "training", "seed", "n")
"""Columns of the matching cell."""

TRAININGS = ("", "this attack and epsilon", "this attack, other epsilon", "another attack")
"""The attack that a defense was trained for, compared with that of the test; empty for none."""

_SAME_EPS = 1e-9

Row = Mapping[Hashable, Any]


def printed_columns(figure: PublishedFigure) -> dict[str, Any]:
    """The columns of a published figure, and its remark."""
    columns = {name: getattr(figure, name) for name in PRINTED_COLUMNS}

    return {**columns, "remark": figure.note}


def comparable_cells(results: pd.DataFrame, figure: PublishedFigure) -> pd.DataFrame:
    """The cells of the figure's data set, attack, norm and threat model.

    A figure of clean images corresponds to the cells of any attack.
    """
    chosen = results["dataset"] == figure.dataset
    if figure.attack is not None:
        chosen &= results["attack_name"] == figure.attack
        chosen &= results["threat_name"] == figure.threat
        chosen &= results["norm"] == figure.norm

    return results[chosen]


def numbers_at(results: pd.DataFrame, figure: PublishedFigure, eps: float) -> list[dict[str, Any]]:
    """Our numbers for a figure at an epsilon on [0, 1], or the reason why there are none."""
    if eps > 1:
        return [{"state": "an epsilon above 1 is none on [0, 1]"}]

    undefended = figure.defense == "none"
    cells = comparable_cells(results, figure)
    if not undefended:
        cells = cells[cells["defense_name"] == figure.defense]
    if not figure.clean:
        cells = cells[np.isclose(cells["eps"].astype(float), eps, rtol=0, atol=_SAME_EPS)]
    if cells.empty:
        return [{"state": NOT_IN_RUN}]

    labels = ["classifier", "seed"]
    if not figure.clean:
        labels.append("attack")
    if not undefended:
        labels.append("defense")
    groups = (rows for _, rows in cells.groupby(labels, sort=False))

    return closest_training_first(number_of(rows, undefended, figure.clean) for rows in groups)


def number_of(rows: pd.DataFrame, undefended: bool, clean: bool) -> dict[str, Any]:
    """The number that all these cells share, or the reason why there is none.

    All cells of a classifier and an attack hold the same undefended accuracy. That of `none` is
    preferred, because its verdict is about this number.

    Args:
        rows: cells that hold the same number.
        undefended: whether the number is that of the bare classifier.
        clean: whether the number is that on clean images.
    """
    ok = rows[rows["status"] == "ok"]
    if ok.empty:
        return {**labels_of(first_row(rows), undefended, clean), "state": missing(rows)}

    none = ok[ok["defense"] == "none"]
    chosen = none if undefended and not none.empty else ok
    return _number(first_row(chosen), undefended, clean)


def labels_of(row: Row, undefended: bool = False, clean: bool = False) -> dict[str, Any]:
    """The labels of our cell; `eps_gap` is the sort key of `closest_training_first`."""
    labels = {name: row[name] for name in ("classifier", "seed", "n")}
    training = {"training": "", "eps_gap": 0.0} if undefended or clean else _training(row)

    return {
        **labels,
        "our_attack": "" if clean else row["attack"],
        "our_defense": "none" if undefended else row["defense"],
        **training,
    }


def closest_training_first(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sorted by the similarity of the attacks in the defense's training and in the test."""
    return sorted(rows, key=lambda row: (TRAININGS.index(row["training"]), row["eps_gap"]))


def first_row(rows: pd.DataFrame) -> Row:
    """The first row of a frame that is not empty."""
    return rows.head(1).to_dict("records")[0]


def missing(cells: pd.DataFrame) -> str:
    """The reason why none of the cells has a number."""
    if cells.empty:
        return NOT_IN_RUN

    first = first_row(cells)
    return f"{first['status']}: {first['reason']}"


def _number(row: Row, undefended: bool, clean: bool) -> dict[str, Any]:
    prefix = "undefended_" if undefended else ""
    clean_accuracy = f"{prefix}clean_accuracy"
    accuracy = clean_accuracy if clean else f"{prefix}robust_accuracy"
    # The verdict of a defended cell is about its own number, not about the undefended one.
    has_verdict = not clean and not (undefended and row["defense"] != "none")
    names = zip(with_interval("ours"), with_interval(accuracy), strict=True)

    return {
        **labels_of(row, undefended, clean),
        **{ours: row[column] for ours, column in names},
        "clean_accuracy": row[clean_accuracy],
        "verdict": row["verdict"] if has_verdict else "",
        "reasons": row["reasons"] if has_verdict else "",
        "state": "",
    }


def _training(row: Row) -> dict[str, Any]:
    """The attack that the cell's defense was trained for, compared with that of the test."""
    if not isinstance(row["trained_for"], str):
        return {"training": TRAININGS[0], "eps_gap": 0.0}

    eps = row["trained_eps"]
    gap = math.inf if eps is None or pd.isna(eps) else abs(float(eps) - row["eps"])
    names = {Spec.parse(text).name for text in split_list(row["trained_for"])}

    if row["attack_name"] not in names:
        training = TRAININGS[3]
    else:
        training = TRAININGS[1] if gap < _SAME_EPS else TRAININGS[2]

    return {"training": training, "eps_gap": gap}
