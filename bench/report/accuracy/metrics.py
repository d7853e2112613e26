"""The registry of metrics: each entry is a column of results.csv and of the accuracy table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.metrics import (
    Accuracy,
    accepted_accuracy,
    adversarial_rejected,
    clean_accuracy,
    clean_rejected,
    minimum_distance_median,
    robust_accuracy,
    undefended_clean_accuracy,
    undefended_robust_accuracy,
)
from bench.analysis.uncertainty import (
    adversarial_calibration_error,
    calibration_error,
    low_confidence_score,
)
from bench.records.outcome import Outcome
from bench.report.columns import interval_columns, with_interval
from bench.report.formats import half_width, interval_texts, three_digits


@dataclass(frozen=True)
class Metric:
    """A number that is derived from the outcome of a cell.

    Attributes:
        name: column of results.csv.
        value: function of the outcome; None where the outcome does not give the number.
        title: heading in the accuracy table; empty for a metric of results.csv alone.
        interval: whether the value is an `Accuracy`, whose interval has columns of its own.
        text: format of a number without interval in the accuracy table.
    """

    name: str
    value: Callable[[Outcome], Accuracy | float | None]
    title: str = ""
    interval: bool = False
    text: Callable[[float], str] = three_digits

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of results.csv: the value and, for an accuracy, the ends of its interval."""
        return with_interval(self.name) if self.interval else (self.name,)

    def numbers(self, outcome: Outcome) -> dict[str, float]:
        """The numbers of an outcome by column; empty where the outcome does not give them."""
        value = self.value(outcome)
        if value is None:
            return {}
        return (
            interval_columns(self.name, value)
            if isinstance(value, Accuracy)
            else {self.name: value}
        )

    def texts(self, results: pd.DataFrame, *, brief: bool = False) -> list[str]:
        """The column of the accuracy table, row by row.

        Args:
            results: frame with the columns of the metric.
            brief: whether half of an interval stands in place of its ends.
        """
        if self.interval and brief:
            return half_width(results, self.name, "{:.3f}", "{:.3f}")
        if self.interval:
            return interval_texts(results, self.name)
        return [self.text(value) for value in results[self.name]]


def _minimum_distance_median(outcome: Outcome) -> float | None:
    if outcome.minimum_distance is None:
        return None

    clean = np.asarray(outcome.clean_right.all(axis=0))
    return minimum_distance_median(outcome.minimum_distance, clean)


def _target_reached(outcome: Outcome) -> float | None:
    """The share of attacked images classified as the target, the mean over draws."""
    if outcome.target is None or not outcome.attacked.any():
        return None

    return float((outcome.adversarial_defended == outcome.target)[:, outcome.attacked].mean())


METRICS: tuple[Metric, ...] = (
    Metric("clean_accuracy", clean_accuracy, "clean accuracy", interval=True),
    Metric("robust_accuracy", robust_accuracy, "robust accuracy", interval=True),
    Metric(
        "undefended_clean_accuracy",
        undefended_clean_accuracy,
        "undefended clean accuracy",
        interval=True,
    ),
    Metric(
        "undefended_robust_accuracy",
        undefended_robust_accuracy,
        "undefended robust accuracy",
        interval=True,
    ),
    Metric("clean_rejected", clean_rejected, "clean rejected", interval=True),
    Metric("accepted_accuracy", accepted_accuracy, "accuracy on accepted"),
    Metric("adversarial_rejected", adversarial_rejected, "adversarial rejected", interval=True),
    Metric("robust_accuracy_worst_draw", lambda outcome: robust_accuracy(outcome).worst),
    Metric("mean_linf", lambda outcome: float(outcome.linf.mean())),
    Metric("mean_l2", lambda outcome: float(outcome.l2.mean())),
    Metric("mean_l1", lambda outcome: float(outcome.l1.mean())),
    Metric("minimum_distance_median", _minimum_distance_median, "median minimum distance"),
    Metric("target_reached", _target_reached, "target reached"),
    Metric("calibration_error", calibration_error),
    Metric("adversarial_calibration_error", adversarial_calibration_error),
    Metric("auroc_low_confidence", low_confidence_score),
)
"""All metrics, in the order of their columns."""
