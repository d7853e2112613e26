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
from bench.report.looks import DefenseLooks
from bench.report.plotting import distances_to_ends, legend, panel_grid, trim
from bench.report.report import Report
from bench.report.worst_case.basis import DOUBTS
from bench.report.writers import NamedFigure

_GRAYBOX = "graybox_accuracy"
_WORST_CASE = "worst_case_accuracy"
_OFFSETS = {_GRAYBOX: -0.2, _WORST_CASE: 0.2}
"""Column of each bar, and its distance below the middle of its defense."""

_LIGHT = "#BBBBBB"
"""Color of gray-box bars; a worst case has the color of its defense."""

_KEY = "#555555"
"""Color that stands for that of any defense in the legend."""

_HOLLOW: dict[str, Any] = {"facecolor": "white", "hatch": "////"}
_ERROR_BAR: dict[str, Any] = {"color": "dimgray", "capsize": 2, "linewidth": 1}

_CLEAN: dict[str, Any] = {
    "color": "black",
    "marker": "|",
    "markeredgewidth": 1.5,
    "linestyle": "",
}


def worst_case_figures(report: Report) -> Iterator[NamedFigure]:
    """A figure for each data set, classifier and norm."""
    groups = report.worst_case.groupby(["dataset", "classifier", "norm"], sort=False)

    for (dataset, classifier, norm), rows in groups:
        names = (report.names.dataset[dataset], report.names.classifier[classifier], str(norm))
        figure = _worst_case_figure(report, rows)
        figure.suptitle(f"{', '.join(names)}, n = {rows['n'].iloc[0]}")
        yield NamedFigure(f"worst_case_{'_'.join(names)}", figure)


def _worst_case_figure(report: Report, rows: pd.DataFrame) -> Figure:
    """Bars with intervals, a row per defense, a panel per epsilon.

    A worst case that is marked is hatched, and so is the accuracy under a gray-box attack whose
    verdict is not `ok`.
    """
    defenses = list(dict.fromkeys(rows["defense"]))
    budgets = sorted(rows["eps"].unique())
    height = 0.6 + 0.42 * len(defenses)
    figure, panels, columns = panel_grid(len(budgets), 2.4, height, sharex=True, sharey=True)

    for axes, eps in zip(panels, budgets, strict=False):
        _draw_bars(axes, rows[rows["eps"] == eps], defenses, report.looks)
        axes.set_title(f"eps {eps:g}")

    trim(panels, len(budgets), columns, "accuracy")
    panels[0].set(xlim=(0, 1.02), ylim=(len(defenses) - 0.5, -0.5))
    names = [report.names.defense[defense] for defense in defenses]
    panels[0].set_yticks(range(len(defenses)), names)
    legend(figure, _legend_handles(rows))
    return figure


def _draw_bars(axes: Axes, rows: pd.DataFrame, defenses: list[str], looks: DefenseLooks) -> None:
    hatched = {
        _WORST_CASE: set(rows.loc[rows["mark"] != "", "defense"]),
        _GRAYBOX: set(rows.loc[_doubtful_graybox(rows), "defense"]),
    }

    for row in over_seeds(rows, "defense").to_dict("records"):
        height = defenses.index(row["defense"])
        colors = {_GRAYBOX: _LIGHT, _WORST_CASE: looks.color(row["defense"])}
        for name, offset in _OFFSETS.items():
            value = row[name]
            if pd.isna(value):
                continue
            look = _HOLLOW if row["defense"] in hatched[name] else {"color": colors[name]}
            axes.barh(height + offset, value, 0.38, edgecolor=colors[name], **look)
            ends = distances_to_ends(value, row[f"{name}_low"], row[f"{name}_high"])
            axes.errorbar(value, height + offset, xerr=ends, **_ERROR_BAR)
        axes.plot([row["clean_accuracy"]], [height], **_CLEAN, markersize=18)

    axes.grid(alpha=0.3, axis="x")
    axes.set_axisbelow(True)


def _legend_handles(rows: pd.DataFrame) -> list[Patch | Line2D]:
    handles: list[Patch | Line2D] = [
        Patch(color=_LIGHT, label="gray-box accuracy, strongest attack"),
        Patch(color=_KEY, label="worst-case accuracy, in the defense's color"),
        Line2D([], [], **_CLEAN, markersize=10, label="clean accuracy"),
    ]
    if _doubtful_graybox(rows).any():
        label = "gray-box attack suspect or invalid"
        handles.append(Patch(**_HOLLOW, edgecolor=_LIGHT, label=label))
    for doubt in DOUBTS:
        if rows["note"].str.contains(doubt, regex=False).any():
            handles.append(Patch(**_HOLLOW, edgecolor=_KEY, label=f"?: {doubt}"))

    return handles


def _doubtful_graybox(rows: pd.DataFrame) -> pd.Series[bool]:
    return rows["graybox_verdict"].isin(["suspect", "invalid"])
