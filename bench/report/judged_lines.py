"""Lines and points of figures that show the verdict on each number."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from bench.report.formats import LEVEL_MARKS

HOLLOW: dict[str, Any] = {"markerfacecolor": "white"}
"""Look of a point whose verdict is not `ok`."""

_DOTTED = ":"
_CROSS: dict[str, Any] = {
    "color": "black",
    "marker": "x",
    "markersize": 9,
    "markeredgewidth": 1.5,
    "linestyle": "",
    "zorder": 3,
}
_KEYS: dict[str, dict[str, Any]] = {
    "suspect": {"color": "dimgray", "marker": "o", "linestyle": _DOTTED, **HOLLOW},
    "invalid": _CROSS,
}
"""Look of a level's entry in a legend."""


def draw_judged_line(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    levels: Sequence[str],
    look: Mapping[str, Any],
    label: str,
) -> None:
    """Draw a line whose suspect points are hollow, whose invalid points are crossed too.

    The line is dotted from and to a point that is not `ok`.

    Args:
        axes: axes to draw on.
        x: horizontal positions, (n,).
        y: numbers, (n,).
        levels: level of the verdict on each number.
        look: color, marker and line style.
        label: name of the line in the legend.
    """
    points = np.column_stack([np.asarray(x, float), np.asarray(y, float)])
    ok = np.array([level == "ok" for level in levels])
    invalid = np.array([level == "invalid" for level in levels])
    gaps = np.where(ok, points[:, 1], np.nan)  # the line is interrupted at NaN
    axes.plot(points[:, 0], gaps, label=label, markersize=5, **look)

    if not ok.all():
        dotted = {**look, "marker": "", "linestyle": _DOTTED}
        axes.plot(*_doubtful_segments(points, ok).T, **dotted)
        axes.plot(*points[~ok].T, **{**look, "markersize": 5, "linestyle": "", **HOLLOW})
    if invalid.any():
        draw_crosses(axes, *points[invalid].T)


def _doubtful_segments(points: NDArray[Any], ok: NDArray[Any]) -> NDArray[Any]:
    """Both ends of each segment that has an end which is not `ok`, and NaN after it, (k, 2)."""
    segments = np.stack([points[:-1], points[1:], np.full_like(points[1:], np.nan)], axis=1)

    return np.asarray(segments[~(ok[:-1] & ok[1:])].reshape(-1, 2))


def draw_crosses(axes: Axes, x: ArrayLike, y: ArrayLike) -> None:
    """Cross out points whose verdict is `invalid`."""
    axes.plot(x, y, **_CROSS)


def verdict_key(levels: Collection[str], *, lines: bool = True) -> list[Line2D]:
    """The entries of a legend that explain the looks of the levels that occur.

    Args:
        levels: levels in the figure.
        lines: whether the figure has lines, not points alone.
    """
    points = {} if lines else {"linestyle": ""}

    return [
        Line2D([], [], label=f"{level} ({LEVEL_MARKS[level].strip()})", **{**look, **points})
        for level, look in _KEYS.items()
        if level in levels
    ]
