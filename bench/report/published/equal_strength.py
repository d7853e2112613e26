"""The frame of published defenses beside ours under an attack of equal strength."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from bench.report.columns import with_interval
from bench.report.published.curves import undefended_curves
from bench.report.published.matching import (
    NOT_IN_RUN,
    OUR_COLUMNS,
    PRINTED_COLUMNS,
    Row,
    closest_training_first,
    comparable_cells,
    first_row,
    labels_of,
    missing,
    number_of,
    printed_columns,
)
from bench.report.published.publication import PublishedFigure

COLUMNS = (
    *(*PRINTED_COLUMNS, "remark", "undefended_robust_accuracy", "accuracy", *OUR_COLUMNS, "eps"),
    *("our_undefended_robust_accuracy", "undefended_verdict", *with_interval("ours")),
    *("clean_accuracy", "verdict", "reasons", "outcome", "state"),
)


def equal_strength_frame(results: pd.DataFrame, figures: Sequence[PublishedFigure]) -> pd.DataFrame:
    """One row per published defense and matching one of ours, at the epsilon of equal strength.

    That is the smallest epsilon of the run at which our undefended accuracy is at most the
    published one: whatever the scale of the printed epsilon and the strength of the classifier, the
    defenses then face an equally strong attack. Cells whose verdict is `invalid` do not count.
    `outcome` is `above` where our whole interval lies above the published number, `below` where it
    lies below, else `level`; a `?` marks a suspect number, and an invalid one has no outcome.
    """
    curves = undefended_curves(figures)
    rows: list[dict[str, Any]] = []
    for printed, figure in _defended(figures):
        points = curves.get((figure.dataset, str(figure.attack)), {})
        level = points.get(figure.eps or 0.0)
        if level is None:
            continue
        printed.update(undefended_robust_accuracy=level, accuracy=figure.accuracy)
        rows += [{**printed, **numbers} for numbers in _numbers(results, figure, level)]

    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["outcome"] = [_outcome(row) for row in frame.to_dict("records")]
    return frame


def _defended(
    figures: Iterable[PublishedFigure],
) -> Iterator[tuple[dict[str, Any], PublishedFigure]]:
    """Published robust accuracies of defenses under gray-box attack.

    A figure that stands in several tables is listed once, with the numbers of all its tables.
    """
    distinct: dict[tuple[Any, ...], tuple[dict[str, Any], PublishedFigure]] = {}
    for figure in figures:
        if figure.defense == "none" or figure.clean or figure.threat != "graybox":
            continue
        if figure.accuracy is None:
            continue
        names = ("source", "dataset", "attack", "eps", "defense", "accuracy")
        key = tuple(getattr(figure, name) for name in names)
        if key in distinct:
            printed, _ = distinct[key]
            printed["table"] = f"{printed['table']}, {figure.table}"
        else:
            distinct[key] = (printed_columns(figure), figure)

    yield from distinct.values()


def _numbers(
    results: pd.DataFrame, figure: PublishedFigure, level: float
) -> Iterator[dict[str, Any]]:
    """Our numbers of a published defense, for each classifier, attack and seed.

    Args:
        results: results of the run.
        figure: published robust accuracy of a defense.
        level: published undefended robust accuracy under the same attack.
    """
    cells = comparable_cells(results, figure)
    cells = cells[cells["eps"] > 0]
    if cells.empty:
        yield {"state": NOT_IN_RUN}

    for _, curve in cells.groupby(["classifier", "attack", "seed"], sort=False):
        yield from _on_curve(curve, figure.defense, level)


def _on_curve(curve: pd.DataFrame, defense: str, level: float) -> Iterator[dict[str, Any]]:
    """Our numbers of a defense on one curve over epsilon."""
    undefended = pd.DataFrame(
        [{"eps": eps, **number_of(rows, True, False)} for eps, rows in curve.groupby("eps")]
    )
    known = _valid(undefended)
    strong = known[known["ours"] <= level] if len(known) else known
    labels = {**labels_of(first_row(curve), undefended=True), "our_defense": ""}
    if strong.empty:
        yield {**labels, "state": _too_weak(curve, known)}
        return

    weakest = first_row(strong)
    strength = {
        "eps": weakest["eps"],
        "our_undefended_robust_accuracy": weakest["ours"],
        "undefended_verdict": weakest["verdict"],
    }
    note = _unknown_below(weakest["eps"], undefended, known)
    cells = curve[(curve["eps"] == weakest["eps"]) & (curve["defense_name"] == defense)]
    rows = closest_training_first(
        number_of(rows, False, False) for _, rows in cells.groupby("defense", sort=False)
    )

    for row in rows or [{**labels, "state": NOT_IN_RUN}]:
        yield {**row, **strength, "state": "; ".join(filter(None, (row["state"], note)))}


def _valid(undefended: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a number whose verdict is not `invalid`."""
    if "ours" not in undefended:
        return undefended[:0]
    return undefended[(undefended["state"] == "") & (undefended["verdict"] != "invalid")]


def _unknown_below(eps: float, undefended: pd.DataFrame, known: pd.DataFrame) -> str:
    """A note on smaller epsilons whose accuracy is unknown; empty for none."""
    unknown = [
        f"{smaller:g}"
        for smaller in undefended["eps"]
        if smaller < eps and smaller not in known["eps"].to_numpy()
    ]
    return f"the undefended accuracy at {', '.join(unknown)} is unknown" if unknown else ""


def _too_weak(curve: pd.DataFrame, known: pd.DataFrame) -> str:
    """The reason why no epsilon of a curve is strong enough."""
    if not known.empty:
        return (
            f"no epsilon of this run: the lowest undefended accuracy is {known['ours'].min():.3f}"
        )

    without = curve[curve["status"] != "ok"]
    return "every verdict is invalid" if without.empty else missing(without)


def _outcome(row: Row) -> str:
    """Our number compared with the published one, which is taken as exact."""
    if pd.isna(row["ours"]) or row["verdict"] == "invalid":
        return ""

    if row["ours_low"] > row["accuracy"]:
        outcome = "above"
    elif row["ours_high"] < row["accuracy"]:
        outcome = "below"
    else:
        outcome = "level"

    return f"{outcome} ?" if row["verdict"] == "suspect" else outcome
