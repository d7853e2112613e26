"""Sections on the run itself: how it was made, where, and by which methods."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bench.errors import RequestError
from bench.plugins.catalog import list_plugins
from bench.plugins.source import PluginInfo
from bench.records.environments import facts_of
from bench.report.page.rendering import rendered
from bench.report.page.section import Section
from bench.report.page.source import PageSource
from bench.spec import Spec

_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")

_FAMILIES = ("defense", "attack", "classifier")
"""Families of plugins whose methods have sources."""

_CASCADE = (
    "The adaptive attack: attacks of growing cost, each on the images that still stand; the table "
    "of its members names them."
)


@dataclass(frozen=True)
class Method:
    """A plugin of the run.

    Attributes:
        family: family of the plugin.
        name: name of the plugin.
        summary: what it is.
        reference: the paper or the code that it follows, with links.
    """

    family: str
    name: str
    summary: str
    reference: Markup


def method_sections(source: PageSource) -> Iterator[Section]:
    """What each method of the run is and follows, and what the short names stand for."""
    html = rendered(
        "methods.html", methods=list(_methods(source)), hidden=source.report.names.hidden()
    )
    yield Section("methods", "Methods and references", html)


def run_sections(source: PageSource) -> Iterator[Section]:
    """The command, the environments and the configuration."""
    environments = [
        (name, facts_of(content).machine, _json(content))
        for name, content in source.environments.items()
    ]
    html = rendered(
        "run.html",
        command=source.command,
        environments=environments,
        configuration=_json(source.configuration),
    )
    yield Section("run", "How this run was made", html)


def _methods(source: PageSource) -> Iterator[Method]:
    """The plugins of the run, by family; those from outside the package have no reference."""
    known = {(info.family, info.name): info for info in _catalog()}
    records = (cell.record for cell in source.report.cells)
    cascades = {_name(str(record.labels["attack"])) for record in records if record.cascade}

    for family in _FAMILIES:
        specs = source.report.names[family].names
        parts = source.configuration.get("plugins", {}).get(f"{family}s", {})
        for name in dict.fromkeys([*map(_name, specs), *_named(parts)]):
            if info := known.get((family, name)):
                yield Method(family, name, info.summary, _linked(info.reference))
            elif family == "attack" and name in cascades:
                yield Method(family, name, _CASCADE, Markup())
            elif name in map(_name, specs):
                yield Method(family, name, "a plugin from outside the package", Markup())


def _catalog() -> list[PluginInfo]:
    """The installed plugins; none where two of them share a name."""
    try:
        return list_plugins()
    except RequestError:
        return []


def _name(spec: str) -> str:
    """The name of a spec's plugin; the text itself where it is no spec."""
    try:
        return Spec.parse(spec).name
    except RequestError:
        return spec


def _named(recorded: Any) -> Iterator[str]:
    """The names of all plugins in a part of the configuration, at any depth."""
    if isinstance(recorded, Mapping):
        if "parameters" in recorded and "name" in recorded:
            yield str(recorded["name"])
        recorded = list(recorded.values())
    if isinstance(recorded, list):
        for part in recorded:
            yield from _named(part)


def _linked(text: str) -> Markup:
    """A text whose arXiv identifiers are links."""
    pieces = _ARXIV.split(text)
    links = [
        Markup('<a href="https://arxiv.org/abs/{0}" rel="noreferrer">arXiv:{0}</a>').format(piece)
        if index % 2
        else Markup("{}").format(piece)
        for index, piece in enumerate(pieces)
    ]

    return Markup().join(links)


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
