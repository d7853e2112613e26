"""Figures of worst cases: bars of gray-box and worst-case accuracy, defense by defense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.columns import over_seeds
from bench.report.looks import COLORS
from bench.report.plotting import PANELS, distances_to_ends, trim
from bench.report.report import Report
from bench.report.worst_case.basis import DOUBTS
from bench.report.writers import NamedFigure

_BARS = (
    ("graybox_accuracy", "gray-box accuracy, strongest attack", COLORS[5], -0.2),
    ("worst_case_accuracy", "worst-case accuracy", COLORS[1], 0.2),
)
"""Column, label, color and offset of each bar."""

_HOLLOW: dict[str, Any] = {"facecolor": "white", "hatch": "////"}
_ERROR_BAR: dict[str, Any] = {"color": "black", "capsize": 2, "linewidth": 1}

_CLEAN: dict[str, Any] = {
    "color": COLORS[2],
    "marker": "|",
    "markeredgewidth": 2.5,
    "linestyle": "",
}


def worst_case_figures(report: Report) -> Iterator[NamedFigure]:
    """A figure for each data set, classifier and norm."""
    groups = report.worst_case.groupby(["dataset", "classifier", "norm"], sort=False)

    for (dataset, classifier, norm), rows in groups:
        title = f"{dataset}, {classifier}, {norm}, n = {rows['n'].iloc[0]}"
        figure = _worst_case_figure(rows, title)
        yield NamedFigure(f"worst_case_{dataset}_{classifier}_{norm}", figure)


def _worst_case_figure(rows: pd.DataFrame, title: str) -> Figure:
    """Bars with intervals, a row per defense, a panel per epsilon.

    A worst case that is marked is hatched, and so is the accuracy under a gray-box attack whose
    verdict is not `ok`.
    """
    defenses = list(dict.fromkeys(rows["defense"]))
    budgets = sorted(rows["eps"].unique())
    columns = min(PANELS, len(budgets))
    lines = -(-len(budgets) // columns)  # rounded up
    size = (max(6.4, 1.8 + 2.4 * columns), (0.9 + 0.42 * len(defenses)) * lines + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()

    for axes, eps in zip(panels, budgets, strict=False):
        _draw_bars(axes, rows[rows["eps"] == eps], defenses)
        axes.set_title(f"eps {eps:g}", fontsize=10)

    trim(panels, len(budgets), columns, "accuracy")
    panels[0].set(xlim=(0, 1.02), ylim=(len(defenses) - 0.5, -0.5))
    panels[0].set_yticks(range(len(defenses)), defenses)
    handles = _legend_handles(rows)
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def _draw_bars(axes: Axes, rows: pd.DataFrame, defenses: list[str]) -> None:
    hatched = {
        "worst_case_accuracy": set(rows.loc[rows["mark"] != "", "defense"]),
        "graybox_accuracy": set(rows.loc[_doubtful_graybox(rows), "defense"]),
    }

    for row in over_seeds(rows, "defense").to_dict("records"):
        height = defenses.index(row["defense"])
        for name, _, color, offset in _BARS:
            value = row[name]
            if pd.isna(value):
                continue
            look = _HOLLOW if row["defense"] in hatched[name] else {"color": color}
            axes.barh(height + offset, value, 0.38, edgecolor=color, **look)
            ends = distances_to_ends(value, row[f"{name}_low"], row[f"{name}_high"])
            axes.errorbar(value, height + offset, xerr=ends, **_ERROR_BAR)
        axes.plot([row["clean_accuracy"]], [height], **_CLEAN, markersize=20)

    axes.grid(alpha=0.3, axis="x")
    axes.set_axisbelow(True)


def _legend_handles(rows: pd.DataFrame) -> list[Patch | Line2D]:
    handles: list[Patch | Line2D] = [
        Patch(color=color, label=label) for _, label, color, _ in _BARS
    ]
    handles.append(Line2D([], [], **_CLEAN, markersize=10, label="clean accuracy"))
    if _doubtful_graybox(rows).any():
        label = "gray-box attack suspect or invalid"
        handles.append(Patch(**_HOLLOW, edgecolor=COLORS[5], label=label))
    for doubt in DOUBTS:
        if rows["note"].str.contains(doubt, regex=False).any():
            handles.append(Patch(**_HOLLOW, edgecolor=COLORS[1], label=f"?: {doubt}"))

    return handles


def _doubtful_graybox(rows: pd.DataFrame) -> pd.Series[bool]:
    return rows["graybox_verdict"].isin(["suspect", "invalid"])
