"""The table of uncertainties, in a file only: calibration, and detection of adversarial images."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.report.accuracy.frame import DETECTION
from bench.report.columns import seed_column
from bench.report.formats import formatted
from bench.report.report import Report
from bench.report.writers import NamedTable

_LABELS = ["dataset", "classifier", "attack", "eps", "threat", "defense"]

_SHOWN = {
    "calibration_error": "calibration error, clean",
    "adversarial_calibration_error": "calibration error, adversarial",
    "auroc_low_confidence": "AUROC of low confidence",
}
"""Headings of the columns that every pipeline has, by the column of results.csv."""

_NOTE = (
    "calibration error: expected, in 15 bins (Guo et al. 2017), on images that are accepted\n"
    "AUROC: probability that the number is larger for an attacked image than for a clean one"
)


def uncertainty_tables(report: Report) -> Iterator[NamedTable]:
    """Calibration and detection cell by cell, where the confidences were stored."""
    table = uncertainty_table(report.results)
    if not table.empty:
        title = "Calibration, and detection of adversarial images"
        yield NamedTable("uncertainty", title, table, _NOTE, printed=False)


def uncertainty_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per ok cell with confidences; a number that a defense tells of each image, a column.

    Args:
        results: frame of `bench.report.accuracy.frame.results_frame`.
    """
    kept = results[results["calibration_error"].notna()]
    table = kept[[*_LABELS[:-1], *seed_column(kept), _LABELS[-1]]].copy()

    told = [str(name) for name in kept if str(name).startswith(DETECTION)]
    titles = {name: f"AUROC of {name.removeprefix(DETECTION)}" for name in told}
    for name, title in {**_SHOWN, **titles}.items():
        table[title] = formatted(kept[name], "{:.3f}")

    return table.reset_index(drop=True)
