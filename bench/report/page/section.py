"""Sections of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup


@dataclass(frozen=True, eq=False)
class Section:
    """A section of the page.

    Attributes:
        id: name of the section in links to it and in the state of the page, of letters, digits, `_`
            and `-`, starting with a letter.
        title: heading, also in the table of contents.
        html: content, from `bench.report.page.rendering.rendered`.
        data: values for the section's script, which reads them with `dataOf(id)`; text, numbers,
            booleans, None, lists and mappings of these. A missing number may be NaN.
    """

    id: str
    title: str
    html: Markup
    data: Mapping[str, Any] = field(default_factory=dict)
