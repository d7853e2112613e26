"""The table of classes, in a file only."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.report.columns import seed_column
from bench.report.formats import interval_texts
from bench.report.report import Report
from bench.report.writers import NamedTable

_NOTE = (
    "taken for: the class that most images of this one are taken for under the strongest single "
    "attack"
)


def class_tables(report: Report) -> Iterator[NamedTable]:
    """Accuracy by class, for each defense and budget."""
    if report.classes.empty:
        return

    title = "Accuracy by class, with 95 % Wilson intervals"
    yield NamedTable(
        "classes", title, class_table(report.classes), _NOTE, printed=False, labels=("class",)
    )


def class_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per defense, budget and class."""
    labels = ["dataset", "classifier", "norm", "eps", *seed_column(frame), "defense"]
    table = frame[[*labels, "class", "n"]].copy()
    table["clean accuracy"] = interval_texts(frame, "clean_accuracy")
    table["worst-case accuracy"] = interval_texts(frame, "worst_case_accuracy")
    table["taken for"] = frame["taken_for"]

    return table
