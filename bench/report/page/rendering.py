"""Rendering: templates become HTML in which every text of a run is shown and not obeyed."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.report.escapes import html_data, html_text


def rendered(template: str, **values: Any) -> Markup:
    """A template of `bench/report/page/templates` with its values.

    Args:
        template: file name of the template.
        values: values by name; each that is not Markup is escaped.
    """
    return Markup(_environment().get_template(template).render(**values))  # noqa: S704


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bench.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # `tojson` escapes what would end a script: <, >, & and the line separators of JavaScript.
    environment.policies["json.dumps_function"] = html_data
    environment.policies["json.dumps_kwargs"] = {}  # keys stay in their order

    return environment


def _shown(value: Any) -> Any:
    """A value of a template, before it is escaped."""
    return value if isinstance(value, Markup) else html_text(str(value))
