"""Plots that set defenses side by side: gray box against worst case, and training attack against test attack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.drawing import COLORS, PANELS, distances_to_ends, over_seeds, trim
from bench.report.worst_case import UNSEEN

_BARS = (
    ("graybox", "gray-box, strongest attack", COLORS[5], -0.2),
    ("worst_case", "worst case", COLORS[1], 0.2),
)

_CLEAN: dict[str, Any] = {
    "color": COLORS[2],
    "marker": "|",
    "markeredgewidth": 2.5,
    "linestyle": "",
}


def worst_case_figure(rows: pd.DataFrame, title: str) -> Figure:
    """Bars of gray-box and worst-case accuracy with intervals, a row a defense, a panel a budget.

    A worst case that no valid attack on the defense has tried is hatched.
    """
    defenses, budgets = list(dict.fromkeys(rows["defense"])), sorted(rows["eps"].unique())
    columns = min(PANELS, len(budgets))
    lines = -(-len(budgets) // columns)
    figure = Figure(
        figsize=(max(6.4, 1.8 + 2.4 * columns), (0.9 + 0.42 * len(defenses)) * lines + 0.9)
    )
    figure.set_layout_engine("constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for axes, eps in zip(panels, budgets, strict=False):
        _bars(axes, rows[rows["eps"] == eps], defenses)
        axes.set_title(f"eps {eps:g}", fontsize=10)
    trim(panels, len(budgets), columns, "accuracy")
    panels[0].set(xlim=(0, 1.02), ylim=(len(defenses) - 0.5, -0.5))
    panels[0].set_yticks(range(len(defenses)), defenses)
    handles: list[Patch | Line2D] = [
        Patch(color=color, label=label) for _, label, color, _ in _BARS
    ]
    handles.append(Line2D([], [], **_CLEAN, markersize=10, label="clean"))
    if (rows["note"] == UNSEEN).any():
        handles.append(Patch(facecolor="white", edgecolor=COLORS[1], hatch="////", label=UNSEEN))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, defenses: list[str]) -> None:
    unseen = set(rows.loc[rows["note"] == UNSEEN, "defense"])
    for row in over_seeds(rows, "defense").to_dict("records"):
        place, void = defenses.index(row["defense"]), row["defense"] in unseen
        for name, _, color, shift in _BARS:
            if pd.isna(row[name]):
                continue
            face = "white" if void and name == "worst_case" else color
            axes.barh(
                place + shift,
                row[name],
                0.38,
                color=face,
                edgecolor=color,
                hatch="////" if face != color else "",
            )
            ends = distances_to_ends(row[name], row[f"{name}_low"], row[f"{name}_high"])
            axes.errorbar(
                row[name], place + shift, xerr=ends, color="black", capsize=2, linewidth=1
            )
        axes.plot([row["clean"]], [place], **_CLEAN, markersize=20)
    axes.grid(alpha=0.3, axis="x")
    axes.set_axisbelow(True)


def cross_attack_figure(rows: pd.DataFrame, title: str) -> Figure:
    """A heat map of accuracies with the numbers in it; rows: trained for, columns: tested on."""
    labels, tests = list(dict.fromkeys(rows["defense"])), list(dict.fromkeys(rows["tested_on"]))
    trained = rows.drop_duplicates("defense").set_index("defense")["trained_for"]
    names = [
        f"{trained[label]}" if list(trained).count(trained[label]) == 1 else label
        for label in labels
    ]
    means = over_seeds(rows, "defense", "tested_on").set_index(["defense", "tested_on"])["accuracy"]
    values = np.array([[means.get((label, test), np.nan) for test in tests] for label in labels])
    longest = max(len(name) for name in names)
    figure = Figure(
        figsize=(1.6 + 0.085 * longest + 0.75 * len(tests), 2.2 + 0.5 * len(labels)),
        layout="constrained",
    )
    axes = figure.subplots()
    picture = axes.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            color = "white" if value < 0.6 else "black"
            axes.text(
                column, row, f"{value:.2f}", ha="center", va="center", color=color, fontsize=9
            )
    axes.set_xticks(
        range(len(tests)), tests, rotation=40, ha="right", rotation_mode="anchor", fontsize=9
    )
    axes.set_yticks(range(len(labels)), names, fontsize=9)
    axes.set(xlabel="tested on", ylabel="trained for")
    axes.set_title(title, fontsize=11)
    figure.colorbar(picture, label="accuracy", shrink=0.9)
    return figure
