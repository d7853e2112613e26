"""Plotting: intervals, legends, axes and panels that the figures share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from bench.report.columns import NO_NORM, over_seeds, with_interval
from bench.report.escapes import figure_text
from bench.report.figure_styles import figure_width, is_narrow, relative_size
from bench.report.formats import marked
from bench.report.judged_lines import draw_judged_line

PANELS = 4
"""Largest number of panels in a row of a figure."""

_FEW_TICKS = 3
"""Number of ticks below which those of a logarithmic axis are evenly spaced."""

_MANY_DECADES = 1e3
"""Ratio of the ends of a logarithmic axis from which only powers of ten have ticks."""

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


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Add a legend below a figure, where it hides no number.

    Args:
        figure: figure, which becomes higher by its legend when it is drawn.
        handles: lines and patches to name, each with its label.
    """
    labels = [str(handle.get_label()) for handle in handles]
    room = 72 * (figure_width() if is_narrow() else figure.get_figwidth())
    entry = max(map(_legend_entry, labels))
    columns = min(len(labels), max(1, int(room / entry)))

    figure.legend(list(handles), labels, loc="outside lower center", ncols=columns)


def _legend_entry(label: str) -> float:
    """The width of an entry of a legend in points: line, text, and the space to the next one."""
    settings: dict[Any, Any] = dict(mpl.rcParams)
    size = FontProperties(size=settings["legend.fontsize"]).get_size_in_points()
    parts = ("handlelength", "handletextpad", "columnspacing")
    around: float = sum(settings[f"legend.{part}"] for part in parts)
    text = TextPath((0, 0), figure_text(label) or " ", size=size)

    return around * size + float(text.get_extents().width)


def panel_grid(
    count: int, width: float, height: float, most: int = PANELS, **shared: Any
) -> tuple[Figure, NDArray[Any], int]:
    """A figure with a grid of panels, of which `trim` removes those that are not used.

    Args:
        count: number of panels.
        width: width of a panel in inches, where the figure may be as wide as it needs.
        height: height of a panel in inches, with its title.
        most: largest number of panels in a row.
        shared: axes that the panels share, `sharex` and `sharey`.

    Returns:
        The figure, its panels row by row, and the number of columns.
    """
    lines = -(-count // min(most, 2 if is_narrow() else most))  # rounded up
    columns = -(-count // lines)
    scale = figure_width() / 2 / width if is_narrow() else 1.0
    size = (max(figure_width(), 0.8 + width * columns), 0.5 + height * max(scale, 0.6) * lines)
    figure = Figure(figsize=size, layout="constrained")

    return figure, figure.subplots(lines, columns, squeeze=False, **shared).flatten(), columns


def single_axes() -> tuple[Figure, Axes]:
    """A figure of the settings' size with one pair of axes."""
    figure = Figure(layout="constrained")

    return figure, figure.subplots()


def log_ticks(axis: Axis, values: Iterable[float]) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times powers of ten, as plain numbers.

    Values that lie closely have evenly spaced ticks.

    Args:
        axis: logarithmic axis.
        values: positive values that the axis shows.
    """
    shown = [value for value in values if value > 0]
    if not shown:
        return

    low, high = min(shown) / 1.15, max(shown) * 1.15
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if high / low > _MANY_DECADES else (1, 2, 5)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) < _FEW_TICKS:
        even = MaxNLocator(4).tick_values(low, high)
        ticks = [tick for tick in even if low <= tick <= high]

    limit = axis.axes.set_xlim if axis is axis.axes.xaxis else axis.axes.set_ylim
    limit(low, high)
    axis.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


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
    below: NDArray[Any] | None = None,
) -> None:
    """Write the numbers into the cells of a heat map, white on dark cells.

    Args:
        axes: axes of the heat map.
        values: numbers, (rows, columns); NaN where there is none.
        scale: scale of the colors.
        text: format of a number.
        levels: level of the verdict on each number, whose mark follows it; None for no marks.
        below: a text under each number, such as its interval; None for none.
    """
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        color = "white" if scale(value) < _DARK else "black"
        label = text(value) if levels is None else marked(text(value), levels[row, column])
        place: dict[str, Any] = {"ha": "center", "color": color}
        if below is None:
            axes.text(column, row, label, va="center", fontsize=relative_size(0.9), **place)
            continue
        axes.text(column, row, label, va="bottom", fontsize=relative_size(0.9), **place)
        axes.text(
            column, row, str(below[row, column]), va="top", fontsize=relative_size(0.6), **place
        )


def eps_label(norm: str) -> str:
    """The title of the epsilon axis for a norm."""
    if norm == NO_NORM:
        return "epsilon (0: clean)"
    return f"epsilon in {norm}, pixels in [0, 1] (0: clean)"
