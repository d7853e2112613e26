"""The page as one file: its sections, styles and scripts, and the library that draws figures."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from markupsafe import Markup

from bench.records.folder import RunFolder
from bench.report.page.contents import sections
from bench.report.page.rendering import rendered
from bench.report.page.section import Section
from bench.report.page.source import PageSource, Reference
from bench.report.report import Report
from bench.store.tree import Tree

FILE = "report.html"
"""Name of the page in the folder of its run."""


def write_page(run: RunFolder, report: Report, reference: Reference | None = None) -> Path:
    """Write the page of a run into its folder; returns its path.

    Args:
        run: the run.
        report: frames of the run.
        reference: another run beside it; None for none.

    Raises:
        RequestError: the configuration of the run is damaged.
        StorageError: the file could not be written.
    """
    Tree(run.path).write_text(FILE, text=page_of(PageSource.of(run, report, reference)))

    return run.path / FILE


def page_of(source: PageSource) -> str:
    """The page as HTML; the same run gives the same text."""
    heading = Heading("a run", source.title, source.summary)

    return document(heading, list(sections(source)), figures=True)


@dataclass(frozen=True)
class Heading:
    """What stands above the sections of a page.

    Attributes:
        kind: what the page is about, such as `a run`.
        title: its name.
        summary: its content in one line.
    """

    kind: str
    title: str
    summary: str


def document(heading: Heading, sections: Sequence[Section], *, figures: bool) -> str:
    """A page as HTML.

    Args:
        heading: what stands above the sections.
        sections: sections in their order.
        figures: whether a section draws figures, which need a library in the page.
    """
    return rendered(
        "page.html",
        heading=heading,
        sections=sections,
        style=_static(".css"),
        script=_static(".js"),
        library=_library() if figures else "",
    )


@cache
def _static(ending: str) -> Markup:
    """All files of that ending in `static`, in the order of their names."""
    files = (resources.files("bench.report.page") / "static").iterdir()
    texts = [
        file.read_text(encoding="utf-8")
        for file in sorted(files, key=lambda file: file.name)
        if file.name.endswith(ending)
    ]

    return Markup("\n".join(texts))  # noqa: S704 - files of this package


@cache
def _library() -> Markup:
    """Plotly's script, which draws the figures, compressed to a third: gzip in base64."""
    script = resources.files("plotly") / "package_data" / "plotly.min.js"

    packed = gzip.compress(script.read_bytes(), mtime=0)
    return Markup(base64.b64encode(packed).decode("ascii"))  # noqa: S704 - letters and digits
