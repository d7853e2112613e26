"""Heat maps of robust accuracy: the training attack against the test attack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.report.columns import over_seeds, with_interval
from bench.report.cross_attack.tables import attack_titles, short_trainings, threat_names
from bench.report.figure_styles import figure_width, is_narrow
from bench.report.fitting import tick_characters
from bench.report.formats import two_decimals
from bench.report.plotting import label_cells, longest_line
from bench.report.report import Report
from bench.report.writers import NamedFigure

_CELL = (0.95, 0.6)
"""Width and height of a cell in inches, where the figure may be as wide as it needs."""

_NARROW_HEIGHT = 0.36
"""Height of a cell in inches in a figure that is a column wide."""


@dataclass(frozen=True)
class _Side:
    """A side of the map.

    Attributes:
        name: what stands along it.
        titles: titles of its rows or columns.
    """

    name: str
    titles: list[str]


def cross_attack_figures(report: Report) -> Iterator[NamedFigure]:
    """A figure for each data set, classifier and defense."""
    groups = report.cross_attack.groupby(["dataset", "classifier", "defense_name"], sort=False)

    for (dataset, classifier, name), rows in groups:
        names = (report.names.dataset[dataset], report.names.classifier[classifier])
        tested = [report.names.attack[attack] for attack in rows["attack"]]
        figure = _heat_map(rows.assign(attack=tested))
        figure.suptitle(f"{name} on {', '.join(names)} ({threat_names(rows)})")
        yield NamedFigure(f"cross_attack_{'_'.join(names)}_{name}", figure)


def _heat_map(rows: pd.DataFrame) -> Figure:
    """Rows: attack of the training; columns: attack of the test; intervals under the numbers.

    In a figure that is a column wide the longer of the two goes down.
    """
    rows = rows.assign(trained_for=short_trainings(rows["trained_for"]))
    rows = rows.assign(
        trained=attack_titles(rows, "trained_for", "trained_eps"),
        tested=attack_titles(rows, "attack", "eps"),
    )
    tests = list(dict.fromkeys(rows["tested"]))
    trainings = _training_titles(rows)
    means = over_seeds(rows, "defense", "tested").set_index(["defense", "tested"])
    cells = [[(defense, test) for test in tests] for defense in trainings]
    down, across = _Side("trained for", list(trainings.values())), _Side("tested on", tests)
    if is_narrow() and len(tests) > len(trainings):
        cells = [list(column) for column in zip(*cells, strict=True)]
        down, across = across, down

    figure, axes = _axes_for(down, across)
    scale = Normalize(0, 1)
    values = _table(means["robust_accuracy"], cells)
    picture = axes.imshow(values, cmap="viridis", norm=scale, aspect="auto")
    levels = _table(means["verdict"], cells)
    label_cells(axes, values, scale, two_decimals, levels, _table(_intervals(means), cells))
    figure.colorbar(picture, label="robust accuracy", shrink=0.9)

    return figure


def _axes_for(down: _Side, across: _Side) -> tuple[Figure, Axes]:
    """A figure with named axes, as large as its cells and labels need."""
    width, height = (_CELL[0], _NARROW_HEIGHT) if is_narrow() else _CELL
    labels = 0.085 * min(longest_line(*down.titles), tick_characters(figure_width()))
    size = (1.6 + labels + width * len(across.titles), 1.4 + height * len(down.titles))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()

    titles = [title.replace(" @ ", "\n@ ") for title in across.titles]
    axes.set_xticks(range(len(titles)), titles)
    axes.set_yticks(range(len(down.titles)), down.titles)
    axes.set(xlabel=across.name, ylabel=down.name)
    return figure, axes


def _intervals(means: pd.DataFrame) -> pd.Series[Any]:
    """The ends of the interval of each mean as text."""
    _, low, high = with_interval("robust_accuracy")
    texts = [
        f"[{two_decimals(first)}, {two_decimals(last)}]"
        for first, last in zip(means[low], means[high], strict=True)
    ]

    return pd.Series(texts, means.index, dtype=object)


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
