"""Tables of scaling: accuracies and latencies at each value of the varied parameters."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.report.columns import seed_column
from bench.report.formats import MARKS, interval_texts, marked, three_digits
from bench.report.report import Report
from bench.report.scaling.frame import varied_columns
from bench.report.writers import NamedTable

_NOTES = f"{MARKS}; latency: of purifier and classifier, in eager float32"


def scaling_tables(report: Report) -> Iterator[NamedTable]:
    """A table for each defense."""
    for name, rows in report.scaling.groupby("defense_name", sort=False):
        title = f"{name}: one trained network, other parameters"
        labels = tuple(varied_columns(rows))
        yield NamedTable(f"scaling_{name}", title, scaling_table(rows), _NOTES, labels=labels)


def scaling_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per cell of a defense: varied parameters, both accuracies, median latencies."""
    varied = varied_columns(rows)
    labels = ["dataset", "classifier", "attack", "eps", "threat", *seed_column(rows)]
    if rows["fixed"].nunique() > 1:
        labels.append("network")  # networks that were trained in different ways
    rows = rows.sort_values([*labels, *varied], kind="stable").reset_index(drop=True)

    table = rows[labels].copy()
    for name in varied:
        table[name] = [value if isinstance(value, str) else f"{value:g}" for value in rows[name]]
    table["clean accuracy"] = interval_texts(rows, "clean_accuracy")
    texts = interval_texts(rows, "robust_accuracy")
    table["robust accuracy"] = [*map(marked, texts, rows["verdict"])]
    for prefix in ("", "largest_"):
        for size in rows[f"{prefix}batch_size"].dropna().unique():
            table[f"p50 ms, batch {size:.0f}"] = rows[f"{prefix}p50_ms"].map(three_digits)

    return table
