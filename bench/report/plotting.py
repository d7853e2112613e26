"""Plotting: colors, intervals, legends and panels that the figures share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from bench.report.columns import NO_NORM, over_seeds, with_interval
from bench.report.escapes import figure_text
from bench.report.formats import marked
from bench.report.judged_lines import draw_judged_line

PANELS = 4
"""Largest number of panels in a row of a figure."""

_INSIDE = 5
"""Largest number of entries of a legend inside the axes."""

_DARK = 0.6
"""Share of the color map below which numbers on it are white."""


def line_over_eps(
    axes: Axes, rows: pd.DataFrame, label: str, look: Mapping[str, Any], prefix: str = ""
) -> None:
    """Draw accuracy over epsilon with its interval, from the clean accuracy at epsilon 0 on.

    The clean accuracy counts as `ok`; an invalid number has no interval.

    Args:
        axes: axes to draw on.
        rows: rows of the results with their verdicts, one per epsilon and seed.
        label: name of the line in the legend.
        look: color, marker and line style.
        prefix: start of the accuracies' columns: `undefended_` for those of the bare classifier.
    """
    rows = over_seeds(rows, "eps").sort_values("eps")
    eps = np.concatenate([[0.0], rows["eps"]])
    clean = with_interval(f"{prefix}clean_accuracy")
    robust = with_interval(f"{prefix}robust_accuracy")
    value, low, high = (
        np.concatenate([[rows[at_zero].iloc[0]], rows[attacked]])
        for at_zero, attacked in zip(clean, robust, strict=True)
    )

    levels = ["ok", *rows["verdict"]]
    draw_judged_line(axes, eps, value, levels, look, label)
    band = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
    axes.fill_between(eps, low, high, where=[level != "invalid" for level in levels], **band)


def undefended_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """One defense's rows of gray-box results, all of which hold the bare classifier's accuracy.

    They are those of `none`, with their verdicts; else those of the first defense, whose verdicts
    are not about the bare classifier and become `ok`.
    """
    bare: pd.DataFrame = rows[rows["defense"] == "none"]
    if not bare.empty:
        return bare

    first: pd.DataFrame = rows[rows["defense"] == rows["defense"].iloc[0]]
    return first.assign(verdict="ok")


def distances_to_ends(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[Any]:
    """Error bars (2, n) of intervals, never negative: a mean over draws may lie just outside."""
    center = np.asarray(value, dtype=float)
    ends = [center - np.asarray(low, dtype=float), np.asarray(high, dtype=float) - center]

    return np.atleast_2d(np.clip(ends, 0.0, None).reshape(2, -1))


def legend(
    figure: Figure, axes: Axes, handles: Sequence[Artist] | None = None, *, outside: bool = False
) -> None:
    """Add a legend: inside the axes, or beside them where it is long.

    Args:
        figure: figure of the axes, which becomes wider for a legend beside them.
        axes: axes whose labelled lines are named, unless `handles` are given.
        handles: lines to name instead, each with its label.
        outside: whether the legend stands beside the axes in any case.
    """
    lines = axes.get_legend_handles_labels()[0] if handles is None else list(handles)
    labels = [str(line.get_label()) for line in lines]
    if len(labels) <= _INSIDE and not outside:
        axes.legend(lines, labels)
        return

    figure.set_figwidth(figure.get_figwidth() + 0.6 + 0.075 * longest_line(*labels))
    figure.legend(lines, labels, loc="outside right center", fontsize=9)


def longest_line(*texts: str) -> int:
    """The number of characters of the longest line of some texts, as a figure shows them."""
    return max(len(line) for text in texts for line in figure_text(text).split("\n"))


def trim(panels: NDArray[Any], used: int, columns: int, label: str) -> None:
    """Remove the unused panels of a grid, and name the x axis under each column."""
    for index, axes in enumerate(panels):
        if index >= used:
            axes.remove()
        elif index + columns >= used:
            axes.set_xlabel(label)
            axes.tick_params(labelbottom=True)


def label_cells(
    axes: Axes,
    values: NDArray[Any],
    scale: Normalize,
    text: Callable[[float], str],
    levels: NDArray[Any] | None = None,
) -> None:
    """Write the numbers into the cells of a heat map, white on dark cells.

    Args:
        axes: axes of the heat map.
        values: numbers, (rows, columns); NaN where there is none.
        scale: scale of the colors.
        text: format of a number.
        levels: level of the verdict on each number, whose mark follows it; None for no marks.
    """
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        color = "white" if scale(value) < _DARK else "black"
        label = text(value) if levels is None else marked(text(value), levels[row, column])
        axes.text(column, row, label, ha="center", va="center", color=color, fontsize=9)


def eps_label(norm: str) -> str:
    """The title of the epsilon axis for a norm."""
    if norm == NO_NORM:
        return "epsilon (0: clean)"
    return f"epsilon in {norm}, pixels in [0, 1] (0: clean)"
