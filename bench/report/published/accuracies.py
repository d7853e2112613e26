"""The frame of published accuracies beside ours, figure by figure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from bench.report.columns import with_interval
from bench.report.published.curves import scales_of
from bench.report.published.matching import (
    OUR_COLUMNS,
    PRINTED_COLUMNS,
    numbers_at,
    printed_columns,
)
from bench.report.published.publication import PublishedFigure

COLUMNS = (
    *(*PRINTED_COLUMNS, "remark", "scale", "eps", "accuracy", "evidence"),
    *(*OUR_COLUMNS, *with_interval("ours"), "difference"),
    *("clean_accuracy", "verdict", "reasons", "state"),
)


def accuracies_frame(results: pd.DataFrame, figures: Iterable[PublishedFigure]) -> pd.DataFrame:
    """One row per published accuracy, scale of its epsilon, and matching number of ours.

    Numbers match that share data set, defense, attack, norm, threat model and epsilon; the
    classifier may differ and has a column. An undefended accuracy is that on images that were made
    without knowledge of a defense; it is a clean one where there is no attack or its epsilon is 0,
    and the scale is then irrelevant. `difference` is ours less the published one. A figure that the
    run lacks has a row with the reason in `state` and no number of ours.

    Args:
        results: frame of `bench.report.accuracy.frame.results_frame`.
        figures: published figures.
    """
    rows = [row for figure in figures for row in _rows(results, figure)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["difference"] = frame["ours"].astype(float) - frame["accuracy"]

    return frame


def _rows(results: pd.DataFrame, figure: PublishedFigure) -> Iterator[dict[str, Any]]:
    if figure.accuracy is None:
        return

    printed = printed_columns(figure)
    printed.update(accuracy=figure.accuracy, evidence=figure.evidence)
    scales = {"": 0.0}
    if not figure.clean:
        scales = {scale.name: scale.eps(figure.eps or 0.0) for scale in scales_of(figure)}

    for name, eps in scales.items():
        for numbers in numbers_at(results, figure, eps):
            yield {**printed, "scale": name, "eps": eps, **numbers}
