"""Styles of lines and points: color for the defense, marker and line for the engine."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
from matplotlib.lines import Line2D

from bench.report.latency.frame import engine_title, engine_titles
from bench.report.looks import COLORS, MARKERS, style

_ENGINE_MARKERS = MARKERS + "h<>p"
_ENGINE_LINES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class EngineStyles:
    """Styles for some defenses and engines; with a single engine all of it shows the defense.

    Attributes:
        defenses: specs of the defenses.
        engines: engines with their precisions, as people read them.
    """

    defenses: list[str]
    engines: list[str]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Self:
        """The styles for all defenses and engines in these rows."""
        return cls(list(dict.fromkeys(rows["defense"])), engine_titles(rows))

    def of_row(self, row: Mapping[Hashable, Any]) -> dict[str, Any]:
        """The style of a row's defense and engine."""
        engine = engine_title(row["engine"], row["precision"])

        return self._style(self.defenses.index(row["defense"]), self.engines.index(engine))

    def handles(self, *, lines: bool) -> list[Line2D]:
        """The entries of a legend: all defenses, then the engines where there are several.

        Args:
            lines: whether the entries show lines, not points alone.
        """
        several = len(self.engines) > 1
        points = {} if lines else {"linestyle": ""}
        square = {"marker": "s"} if several and not lines else {}

        defenses = [
            Line2D([], [], label=defense, **{**self._style(index, 0), **points, **square})
            for index, defense in enumerate(self.defenses)
        ]
        engines = [
            Line2D([], [], label=engine, **{**self._style(0, index), **points, "color": "dimgray"})
            for index, engine in enumerate(self.engines)
        ]

        return [*defenses, *engines] if several else defenses

    def _style(self, defense: int, engine: int) -> dict[str, Any]:
        if len(self.engines) == 1:
            return style(defense)

        colors_start_again = defense // len(COLORS) % 2
        return {
            "color": COLORS[defense % len(COLORS)],
            "marker": _ENGINE_MARKERS[engine % len(_ENGINE_MARKERS)],
            "fillstyle": "left" if colors_start_again else "full",
            "linestyle": _ENGINE_LINES[engine % len(_ENGINE_LINES)],
        }
