"""Budgets on the page: the one that is shown first of several."""

from __future__ import annotations

import pandas as pd

BUDGET = ["dataset", "classifier", "norm", "eps", "seed"]
"""Labels of a budget."""

_BROKEN = 0.05
"""Accuracy of the bare classifier at which an attack is taken to have broken it."""


def decisive(decisions: pd.DataFrame) -> pd.Series[bool]:
    """Whether each row of the decision frame is under the budget that tells most.

    That is the smallest epsilon that breaks the bare classifier: below it the classifier needs no
    defense, and far above it no defense can be told from another. Where none does, it is the
    largest. There is one for each data set, classifier, norm and seed.
    """
    group = [name for name in BUDGET if name != "eps"]
    bare = decisions["control"] & (decisions["worst_case_accuracy"] <= _BROKEN)
    groups = decisions.assign(broken=decisions["eps"].where(bare)).groupby(group, dropna=False)
    first = groups["broken"].transform("min").fillna(groups["eps"].transform("max"))

    return decisions["eps"] == first
