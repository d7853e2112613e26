"""Styles of lines and points: color for the defense, marker and line for the engine."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
from matplotlib.lines import Line2D

from bench.report.latency.frame import engine_title, engine_titles
from bench.report.looks import COLORS, MARKERS
from bench.report.report import Report

_ENGINE_MARKERS = MARKERS + "h<>p"
_ENGINE_LINES = ("-", "--", ":", "-.")
_ENGINE_KEY = {"color": "dimgray", "fillstyle": "full"}


@dataclass(frozen=True)
class EngineStyles:
    """Styles for some defenses and engines; with a single engine all of it shows the defense.

    Attributes:
        report: report of the run, which has names and looks of all its defenses.
        defenses: specs of the defenses that are shown.
        engines: engines with their precisions, as people read them.
    """

    report: Report
    defenses: list[str]
    engines: list[str]

    @classmethod
    def of(cls, rows: pd.DataFrame, report: Report) -> Self:
        """The styles for all defenses and engines in these rows of a report."""
        return cls(report, list(dict.fromkeys(rows["defense"])), engine_titles(rows))

    def of_row(self, row: Mapping[Hashable, Any]) -> dict[str, Any]:
        """The style of a row's defense and engine."""
        engine = engine_title(row["engine"], row["precision"])

        return self._style(str(row["defense"]), self.engines.index(engine))

    def handles(self, *, lines: bool) -> list[Line2D]:
        """The entries of a legend: all defenses, then the engines where there are several.

        Args:
            lines: whether the entries show lines, not points alone.
        """
        several = len(self.engines) > 1
        points = {} if lines else {"linestyle": ""}
        square = {"marker": "s"} if several and not lines else {}

        names = self.report.names.defense
        defenses = [
            Line2D([], [], label=names[spec], **{**self._style(spec, 0), **points, **square})
            for spec in self.defenses
        ]
        first = self.defenses[0]
        engines = [
            Line2D([], [], label=name, **{**self._style(first, index), **points, **_ENGINE_KEY})
            for index, name in enumerate(self.engines)
        ]

        return [*defenses, *engines] if several else defenses

    def _style(self, defense: str, engine: int) -> dict[str, Any]:
        look = self.report.looks[defense]
        if len(self.engines) == 1:
            return look

        colors_start_again = self.report.looks.position(defense) // len(COLORS) % 2
        return {
            "color": look["color"],
            "marker": _ENGINE_MARKERS[engine % len(_ENGINE_MARKERS)],
            "fillstyle": "left" if colors_start_again else "full",
            "linestyle": _ENGINE_LINES[engine % len(_ENGINE_LINES)],
        }
