"""Figures of a run beside published numbers, from generators per topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from bench.report.contents import for_figures
from bench.report.published.comparison import PublishedComparison
from bench.report.published.curve_figures import curve_figures
from bench.report.published.pictures import recreated_figures
from bench.report.writers import NamedFigure

_FIGURES: tuple[Callable[[PublishedComparison], Iterator[NamedFigure]], ...] = (
    curve_figures,
    recreated_figures,
)
"""Generators of figures."""


def published_figures(comparison: PublishedComparison) -> Iterator[NamedFigure]:
    """The figures of a comparison, of as many defenses as a figure can show."""
    shown = replace(comparison, report=for_figures(comparison.report))
    for generator in _FIGURES:
        yield from generator(shown)
