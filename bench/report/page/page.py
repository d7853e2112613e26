"""The page as one file: its sections, styles and scripts, and the library that draws figures."""

from __future__ import annotations

import base64
import gzip
from functools import cache
from importlib import resources
from pathlib import Path

from markupsafe import Markup

from bench.records.folder import RunFolder
from bench.report.page.contents import sections
from bench.report.page.rendering import rendered
from bench.report.page.source import PageSource
from bench.report.report import Report
from bench.store.tree import Tree

FILE = "report.html"
"""Name of the page in the folder of its run."""


def write_page(run: RunFolder, report: Report) -> Path:
    """Write the page of a run into its folder; returns its path.

    Raises:
        RequestError: the configuration of the run is damaged.
        StorageError: the file could not be written.
    """
    Tree(run.path).write_text(FILE, text=page_of(PageSource.of(run, report)))

    return run.path / FILE


def page_of(source: PageSource) -> str:
    """The page as HTML; the same run gives the same text."""
    return rendered(
        "page.html",
        source=source,
        sections=list(sections(source)),
        style=_static(".css"),
        script=_static(".js"),
        library=_library(),
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
