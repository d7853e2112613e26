"""What the plots share: colors, intervals, files."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from bench.report.accuracy import NO_NORM
from bench.store.atomic import write_bytes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#F0E442")
MARKERS = "osD^vP*X"
PANELS = 4
"""Panels in a row of a figure."""

_INSIDE = 5


def style(index: int) -> dict[str, Any]:
    """Color and marker of the line of that number; sixteen are told apart."""
    shade = index // len(COLORS) % 2
    return {
        "color": COLORS[index % len(COLORS)],
        "marker": MARKERS[(index + shade) % len(MARKERS)],
        "linestyle": ("-", ":")[shade],
    }


def over_seeds(rows: pd.DataFrame, *labels: str) -> pd.DataFrame:
    """Means over seeds, in the order in which the labels' values come."""
    return rows.groupby(list(labels), as_index=False, sort=False).mean(numeric_only=True)


def line_over_eps(
    axes: Axes, rows: pd.DataFrame, label: str, look: Mapping[str, Any], undefended: bool = False
) -> None:
    """Accuracy over epsilon with its interval, from the clean accuracy at 0 on."""
    clean, attacked = ("undefended_clean_accuracy", "undefended_robust_accuracy")
    if not undefended:
        clean, attacked = "clean_accuracy", "robust_accuracy"
    rows = over_seeds(rows, "eps").sort_values("eps")
    values = {
        end: np.concatenate([[rows[f"{clean}{end}"].iloc[0]], rows[f"{attacked}{end}"]])
        for end in ("", "_low", "_high")
    }
    eps = np.concatenate([[0.0], rows["eps"]])
    axes.plot(eps, values[""], label=label, markersize=5, **look)
    axes.fill_between(
        eps, values["_low"], values["_high"], color=look["color"], alpha=0.15, linewidth=0
    )


def distances_to_ends(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[Any]:
    """Error bars (2, n) of intervals, never below zero: a mean over draws may lie just outside."""
    centre = np.asarray(value, dtype=float)
    ends = [centre - np.asarray(low, dtype=float), np.asarray(high, dtype=float) - centre]
    return np.atleast_2d(np.clip(ends, 0.0, None).reshape(2, -1))


def legend(
    figure: Figure, axes: Axes, handles: Sequence[Line2D] | None = None, *, outside: bool = False
) -> None:
    """Inside the axes; beside them where it is long.

    Args:
        figure: of the axes; made wider for a legend beside them.
        axes: whose labelled lines are named, unless `handles` are given.
        handles: what to name instead, each with its label.
        outside: beside them in any case.
    """
    found = axes.get_legend_handles_labels()[0] if handles is None else list(handles)
    labels = [str(each.get_label()) for each in found]
    if len(labels) <= _INSIDE and not outside:
        axes.legend(found, labels)
        return
    figure.set_figwidth(figure.get_figwidth() + 0.6 + 0.075 * max(len(label) for label in labels))
    figure.legend(found, labels, loc="outside right center", fontsize=9)


def trim(panels: NDArray[Any], used: int, columns: int, label: str) -> None:
    """Remove the panels that are left over; the lowest of each column names its axis."""
    for index, axes in enumerate(panels):
        if index >= used:
            axes.remove()
        elif index + columns >= used:
            axes.set_xlabel(label)
            axes.tick_params(labelbottom=True)


def eps_label(norm: str) -> str:
    """Title of the epsilon axis."""
    return (
        f"epsilon in {norm}, pixels in [0, 1] (0: clean)"
        if norm != NO_NORM
        else "epsilon (0: clean)"
    )


def save(folder: Path, name: str, figure: Figure) -> None:
    """As PNG and SVG, the same bytes for the same figure."""
    png, svg = io.BytesIO(), io.BytesIO()
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(150)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once for both formats
    canvas.print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]
    with mpl.rc_context({"svg.hashsalt": "purification-bench"}):
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})  # type: ignore[no-untyped-call]
    stem = re.sub(r"[^A-Za-z0-9.=_-]+", "-", name)
    write_bytes(folder / f"{stem}.png", png.getvalue())
    write_bytes(folder / f"{stem}.svg", svg.getvalue())
