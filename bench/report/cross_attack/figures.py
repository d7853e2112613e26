"""Heat maps of robust accuracy: the training attack against the test attack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.report.columns import over_seeds
from bench.report.cross_attack.tables import attack_titles
from bench.report.plotting import label_cells, longest_line
from bench.report.report import Report
from bench.report.writers import NamedFigure

_SLANTED: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}


def cross_attack_figures(report: Report) -> Iterator[NamedFigure]:
    """A figure for each data set, classifier and defense."""
    groups = report.cross_attack.groupby(["dataset", "classifier", "defense_name"], sort=False)

    for (dataset, classifier, name), rows in groups:
        figure = _heat_map(rows, f"{name} on {dataset}, {classifier} (graybox)")
        yield NamedFigure(f"cross_attack_{dataset}_{classifier}_{name}", figure)


def _heat_map(rows: pd.DataFrame, title: str) -> Figure:
    """Rows: attack of the training; columns: attack of the test."""
    rows = rows.assign(
        trained=attack_titles(rows, "trained_for", "trained_eps"),
        tested=attack_titles(rows, "attack", "eps"),
    )
    tests = list(dict.fromkeys(rows["tested"]))
    trainings = _training_titles(rows)
    means = over_seeds(rows, "defense", "tested").set_index(["defense", "tested"])
    cells = [[(defense, test) for test in tests] for defense in trainings]
    values = _table(means["robust_accuracy"], cells)
    levels = _table(means["verdict"], cells)

    longest = longest_line(*trainings.values())
    size = (1.6 + 0.085 * longest + 0.75 * len(tests), 2.2 + 0.5 * len(trainings))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    scale = Normalize(0, 1)
    picture = axes.imshow(values, cmap="viridis", norm=scale, aspect="auto")
    label_cells(axes, values, scale, "{:.2f}".format, levels)

    axes.set_xticks(range(len(tests)), tests, fontsize=9, **_SLANTED)
    axes.set_yticks(range(len(trainings)), list(trainings.values()), fontsize=9)
    axes.set(xlabel="tested on", ylabel="trained for")
    axes.set_title(title, fontsize=11)
    figure.colorbar(picture, label="robust accuracy", shrink=0.9)
    return figure


def _table(values: pd.Series[Any], cells: list[list[tuple[str, str]]]) -> NDArray[Any]:
    """The values of some cells, by defense and test attack; NaN where there is none."""
    return np.array([[values.get(cell, np.nan) for cell in row] for row in cells])


def _training_titles(rows: pd.DataFrame) -> dict[str, str]:
    """The training attack of each defense, or its spec where several share a training attack."""
    trained = rows.drop_duplicates("defense").set_index("defense")["trained"]
    titles = list(trained)

    return {
        str(defense): title if titles.count(title) == 1 else str(defense)
        for defense, title in trained.items()
    }
