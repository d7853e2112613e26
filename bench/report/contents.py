"""The contents of a report: which tables and figures it has, from generators per topic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

from bench.progress import Step
from bench.report.accuracy.figures import accuracy_figures
from bench.report.accuracy.tables import accuracy_tables
from bench.report.accuracy.uncertainty import uncertainty_tables
from bench.report.cascade.tables import cascade_tables
from bench.report.classes.tables import class_tables
from bench.report.cross_attack.figures import cross_attack_figures
from bench.report.cross_attack.tables import cross_attack_tables
from bench.report.decision.tables import decision_tables
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

MOST_DEFENSES = 40
"""Number of defenses at which figures are cut."""

_FRAMES = ("results", "latency", "worst_case", "cross_attack", "scaling")
"""Frames of a report that figures show."""

logger = logging.getLogger("bench")

_TABLES: tuple[Callable[[Report], Iterator[NamedTable]], ...] = (
    decision_tables,
    worst_case_tables,
    cascade_tables,
    accuracy_tables,
    uncertainty_tables,
    cross_attack_tables,
    class_tables,
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

FIGURE_TOPICS = len(_FIGURES)
"""Number of the generators of figures."""


def tables(report: Report) -> Iterator[NamedTable]:
    """The tables of a report, the headline first."""
    for generator in _TABLES:
        yield from generator(report)


def figures(report: Report, step: Step | None = None) -> Iterator[NamedFigure]:
    """The figures of a report, of as many defenses as a figure can show.

    Args:
        report: frames of a run.
        step: display that counts the `FIGURE_TOPICS` topics and names each figure; None for none.
    """
    shown = for_figures(report)
    if shown is not report:
        logger.warning("figures show the first %d defenses; tables have them all", MOST_DEFENSES)

    for generator in _FIGURES:
        for named in generator(shown):
            if step is not None:
                step.advance(0, named.name)
            yield named
        if step is not None:
            step.advance()


def for_figures(report: Report) -> Report:
    """The report with its first defenses alone, where a figure could not show all of them."""
    names = list(dict.fromkeys([*report.results["defense"], *report.latency["defense"]]))
    if len(names) <= MOST_DEFENSES:
        return report

    shown = set(names[:MOST_DEFENSES])
    frames = {name: getattr(report, name) for name in _FRAMES}

    return replace(
        report,
        cells=tuple(cell for cell in report.cells if cell.record.labels["defense"] in shown),
        **{name: frame[frame["defense"].isin(shown)] for name, frame in frames.items()},
    )
