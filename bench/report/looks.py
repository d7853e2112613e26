"""Looks: the color, marker and line by which a reader knows a defense in every figure of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib import colormaps

_NONE = "none"
"""Name of the classifier without a purifier."""

COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933"),
    *("#003A5B", "#7A3600", "#00543D", "#7B3F62", "#8A5F00", "#1F6A94", "#D4709F", "#5C5C1E"),
)
"""Colors that are told apart with a color blindness too (Okabe and Ito 2008), then other shades."""

MARKERS = "osD^vP*X"

LINES: tuple[Any, ...] = ("-", "-.", (0, (6, 1.5)))
"""Lines of defenses. Dots are for numbers in doubt, even dashes for the undefended classifier."""

UNDEFENDED: dict[str, Any] = {"color": "black", "marker": "h", "linestyle": "--"}
"""Look of the classifier without a purifier."""


def style(index: int) -> dict[str, Any]:
    """Color, marker and line of the line with this number; the first forty-eight are distinct.

    The colors of the first sixteen are distinct alone.
    """
    again = index // len(MARKERS)

    return {
        "color": COLORS[index % len(COLORS)],
        "marker": MARKERS[(index + again) % len(MARKERS)],
        "linestyle": LINES[index // len(COLORS) % len(LINES)],
    }


def threat_style(index: int, count: int) -> dict[str, Any]:
    """Color, marker and line of one of several threat models, in colors of no defense."""
    share = index / max(1, count - 1)

    return {
        "color": colormaps["plasma"](0.85 * share),
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": "-",
    }


@dataclass(frozen=True)
class DefenseLooks:
    """The looks of a run's defenses, by their position in the run.

    Attributes:
        defenses: specs in the order of the run's configuration.
    """

    defenses: tuple[str, ...] = ()

    def __getitem__(self, defense: str) -> dict[str, Any]:
        """Color, marker and line of a defense; black for the classifier without a purifier."""
        return dict(UNDEFENDED) if defense == _NONE else style(self.position(defense))

    def color(self, defense: str) -> str:
        """The color of a defense, as hexadecimal digits or a name that HTML knows too."""
        return str(self[defense]["color"])

    def position(self, defense: str) -> int:
        """The number of defenses before this one, without `none`; of all for an unknown one."""
        purifiers = [each for each in self.defenses if each != _NONE]

        return purifiers.index(defense) if defense in purifiers else len(purifiers)
