"""Styles of figures: for the screen, and for a column of a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl

from bench.errors import unknown

_NARROW = 5.0
"""Width in inches below which a figure has fewer panels and images in a row."""


@dataclass(frozen=True)
class FigureStyle:
    """The format of a run's figures, and what is drawn in them.

    Attributes:
        name: name on the command line.
        ending: ending of the files.
        settings: settings of matplotlib beside its defaults.
        titled: whether a figure has a title; a paper's caption says what it would.
        width: width in inches of every figure; None where a figure is as wide as it needs.
    """

    name: str
    ending: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    titled: bool = True
    width: float | None = None


SCREEN = FigureStyle(
    "screen",
    "png",
    {
        "figure.figsize": (6.4, 4.2),
        "figure.titlesize": 11,
        "axes.titlesize": 10,
        "legend.fontsize": 9,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
    },
)
PAPER = FigureStyle(
    "paper",
    "pdf",
    {
        "figure.figsize": (3.3, 2.4),
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.labelsize": 8,
        "legend.fontsize": 7,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "lines.linewidth": 1.0,
        "lines.markersize": 4,
        "pdf.fonttype": 42,  # fonts are embedded whole, as publishers ask
    },
    titled=False,
    width=3.3,
)
STYLES = {SCREEN.name: (SCREEN,), PAPER.name: (SCREEN, PAPER)}
"""Styles in which figures are drawn, by the name on the command line."""


def styles_of(name: str) -> tuple[FigureStyle, ...]:
    """The styles in which figures are drawn: that of the name, besides that of the screen.

    Raises:
        RequestError: there is no such style.
    """
    if name not in STYLES:
        raise unknown("style", name, STYLES)

    return STYLES[name]


def figure_width() -> float:
    """The least width of a figure in inches under the settings in force."""
    width, _ = mpl.rcParams["figure.figsize"]
    return float(width)


def is_narrow() -> bool:
    """Whether the figures that are drawn are a column wide."""
    return figure_width() < _NARROW


def relative_size(share: float) -> float:
    """The size of a font in points, as a share of the size of all text."""
    return share * float(mpl.rcParams["font.size"])
