"""Gains and losses of a defense: paired differences from the undefended classifier, in points."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.statistics import images_to_tell, paired_difference
from bench.report.columns import with_interval
from bench.report.worst_case.budgets import DefenseUnderBudget, ThreatBudget
from bench.report.worst_case.pairs import right_under_graybox

Array = NDArray[Any]

REFERENCE = "none"
"""The defense that is no defense, with which the others are compared."""

CLEAN_LOST = "clean_lost_points"
GRAYBOX_GAIN = "graybox_gain_points"
WORST_CASE_GAIN = "worst_case_gain_points"


@dataclass(frozen=True)
class _Points:
    """A column of points.

    Attributes:
        name: name of the column.
        right: shares of draws in which each image is right, (n,); None where it was not measured.
        sign: 1 for a gain, -1 for a loss.
    """

    name: str
    right: Callable[[DefenseUnderBudget], Array | None]
    sign: int = 1


def _clean(defense: DefenseUnderBudget) -> Array:
    return np.asarray(defense.cells[0].clean_right.mean(axis=0))


def _worst_case(defense: DefenseUnderBudget) -> Array:
    return defense.worst_case.right


_POINTS = (
    _Points(CLEAN_LOST, _clean, sign=-1),
    _Points(GRAYBOX_GAIN, right_under_graybox),
    _Points(WORST_CASE_GAIN, _worst_case),
)

COLUMNS = tuple(column for points in _POINTS for column in with_interval(points.name))


def references(defenses: Sequence[DefenseUnderBudget]) -> dict[ThreatBudget, DefenseUnderBudget]:
    """The undefended classifier under each budget; where it was run."""
    return {defense.budget: defense for defense in defenses if defense.defense == REFERENCE}


def compares(decisions: pd.DataFrame) -> bool:
    """Whether a frame of decisions compares any defense with the undefended classifier."""
    defended = decisions[~decisions["control"].astype(bool)]

    return bool(defended[WORST_CASE_GAIN].notna().any())


def gains(defense: DefenseUnderBudget, reference: DefenseUnderBudget | None) -> dict[str, float]:
    """The gains and losses of a defense with the ends of their 95 % intervals, by column.

    All are percentage points; NaN where either of the two was not measured.

    Args:
        defense: defense under a budget.
        reference: undefended classifier under the same budget; None where it was not run.
    """
    columns: dict[str, float] = {}
    for points in _POINTS:
        columns.update(_points(points, defense, reference))

    return columns


def images_for_the_worst_case(
    defense: DefenseUnderBudget, reference: DefenseUnderBudget, tests: int
) -> float:
    """The number of images that would tell the worst cases apart, see `images_to_tell`.

    Args:
        defense: defense under a budget.
        reference: undefended classifier under the same budget.
        tests: number of pairs under this budget that are not told apart.
    """
    return images_to_tell(_worst_case(defense), _worst_case(reference), tests)


def _points(
    points: _Points, defense: DefenseUnderBudget, reference: DefenseUnderBudget | None
) -> dict[str, float]:
    names = with_interval(points.name)
    first = points.right(defense)
    second = None if reference is None else points.right(reference)
    if first is None or second is None:
        return dict.fromkeys(names, math.nan)
    if defense is reference:
        return dict.fromkeys(names, 0.0)

    pair = (first, second) if points.sign > 0 else (second, first)
    found = paired_difference(*pair)
    return {
        name: 100 * value
        for name, value in zip(names, (found.value, found.low, found.high), strict=True)
    }
