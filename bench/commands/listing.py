"""`bench list`: everything that a run can combine, read without importing torch."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.latency.engines import ENGINES, PRECISIONS
from bench.plugins.catalog import list_plugins
from bench.plugins.packages import PACKAGES
from bench.plugins.source import PluginInfo
from bench.stages.threats import PARAMETERS, THREATS, ThreatKind
from bench.sweep.presets import preset_names, preset_summary
from bench.text import one_line


def show(plugins: tuple[str, ...]) -> None:
    """Print plugins, data sets, threat models, engines, precisions and presets.

    Args:
        plugins: files or modules with plugins from outside the package.
    """
    console = Console()
    infos = list_plugins(plugins)
    for family, package in PACKAGES.items():
        members = {info.name: _plugin(info) for info in infos if info.family == family}
        _print_names(console, package.rpartition(".")[2].capitalize(), members)

    for title, summaries in _fixed_names().items():
        _print_names(console, title, {name: Text(text) for name, text in summaries.items()})

    console.print(
        "A spec is written NAME:PARAMETER=VALUE:..., such as defensegan:restarts=4:steps=100",
        highlight=False,
    )


def _plugin(info: PluginInfo) -> Text:
    """Summary of a plugin and, on lines of their own, its parameters with their defaults."""
    parameters = ", ".join(
        f"{name}={default}" if default else f"{name} (required)"
        for name, default in info.parameters
    )
    text = Text(_whole_line(info.summary))
    if parameters:
        text.append(f"\n{_whole_line(parameters)}", style="dim")

    return text


def _whole_line(text: str) -> str:
    """The visible text in one line, uncut."""
    return one_line(text, len(text))


def _threat(threat: ThreatKind) -> str:
    parameters = "; ".join(f"{name}: {PARAMETERS[name]}" for name in threat.parameters)
    return threat.summary + (f" ({parameters})" if parameters else "")


def _fixed_names() -> dict[str, dict[str, str]]:
    """What a run can combine besides plugins: titles, names and summaries."""
    return {
        "Threat models": {threat.name: _threat(threat) for threat in THREATS.values()},
        "Engines": {engine.name: engine.summary for engine in ENGINES.values()},
        "Precisions": {precision.name: precision.summary for precision in PRECISIONS.values()},
        "Presets": {name: preset_summary(name) for name in preset_names()},
    }


def _print_names(console: Console, title: str, descriptions: Mapping[str, Text]) -> None:
    table = Table.grid(padding=(0, 2))
    for name, description in descriptions.items():
        table.add_row("", Text(_whole_line(name), style="bold"), description)

    console.print(title, style="italic")
    console.print(table)
