"""The contents of a report: which tables and figures it has, from generators per topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.report.accuracy.figures import accuracy_figures
from bench.report.accuracy.tables import accuracy_tables
from bench.report.cross_attack.figures import cross_attack_figures
from bench.report.cross_attack.tables import cross_attack_tables
from bench.report.latency.accuracy_figures import accuracy_latency_figures
from bench.report.latency.figures import latency_figures
from bench.report.latency.tables import latency_tables
from bench.report.pictures.figures import picture_figures
from bench.report.report import Report
from bench.report.scaling.figures import scaling_figures
from bench.report.scaling.tables import scaling_tables
from bench.report.worst_case.figures import worst_case_figures
from bench.report.worst_case.tables import pair_tables, worst_case_tables
from bench.report.writers import NamedFigure, NamedTable

_TABLES: tuple[Callable[[Report], Iterator[NamedTable]], ...] = (
    worst_case_tables,
    accuracy_tables,
    cross_attack_tables,
    pair_tables,
    scaling_tables,
    latency_tables,
)
"""Generators of tables, in the order of the terminal."""

_FIGURES: tuple[Callable[[Report], Iterator[NamedFigure]], ...] = (
    accuracy_figures,
    accuracy_latency_figures,
    latency_figures,
    scaling_figures,
    worst_case_figures,
    cross_attack_figures,
    picture_figures,
)
"""Generators of figures."""


def tables(report: Report) -> Iterator[NamedTable]:
    """The tables of a report, the headline first."""
    for generator in _TABLES:
        yield from generator(report)


def figures(report: Report) -> Iterator[NamedFigure]:
    """The figures of a report."""
    for generator in _FIGURES:
        yield from generator(report)
