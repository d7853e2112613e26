"""The contents of a page: its sections, from generators per topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.report.page.comparison import comparison_sections
from bench.report.page.decisions import decision_sections
from bench.report.page.figures import epsilon_figures, latency_figures
from bench.report.page.images import image_sections
from bench.report.page.run_facts import method_sections, run_sections
from bench.report.page.section import Section
from bench.report.page.source import PageSource
from bench.report.page.tables import (
    accuracy_sections,
    latency_sections,
    other_sections,
    pair_sections,
    worst_case_sections,
)

_SECTIONS: tuple[Callable[[PageSource], Iterator[Section]], ...] = (
    decision_sections,
    latency_figures,
    epsilon_figures,
    worst_case_sections,
    accuracy_sections,
    latency_sections,
    pair_sections,
    other_sections,
    image_sections,
    comparison_sections,
    method_sections,
    run_sections,
)
"""Generators of sections, in the order of the page."""


def sections(source: PageSource) -> Iterator[Section]:
    """The sections of a page, the answer first."""
    for generator in _SECTIONS:
        yield from generator(source)
