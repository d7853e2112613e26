"""The section of a comparison: another run, as the reference, beside the run of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from markupsafe import Markup

from bench.report.columns import title_of
from bench.report.comparison import Comparison
from bench.report.comparison.tables import comparison_tables
from bench.report.formats import abbreviated
from bench.report.page.rendering import rendered
from bench.report.page.section import Section
from bench.report.page.source import PageSource
from bench.report.page.tables import table_html


def comparison_sections(source: PageSource) -> Iterator[Section]:
    """The tables of the comparison; nothing where there is no other run."""
    if source.reference is None:
        return

    name, comparison = source.reference.name, source.reference.comparison
    lead = rendered("comparison.html", name=name, notes=list(_notes(comparison)))
    tables = [
        table_html(source, replace(table, name=f"comparison_{table.name}"))
        for table in comparison_tables(comparison)
    ]
    yield Section("comparison", f"Beside {name}", Markup("\n").join([lead, *tables]))


def _notes(comparison: Comparison) -> Iterator[str]:
    """What the two runs do not share."""
    for end, cells in (("A", comparison.only_a), ("B", comparison.only_b)):
        if cells:
            yield f"cells only in {end}: {len(cells)} ({abbreviated([*map(title_of, cells)])})"
    if comparison.changed:
        yield f"the same specs, with other parameters: {abbreviated(comparison.changed)}"
