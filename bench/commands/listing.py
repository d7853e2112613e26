"""`bench list`: everything that a run can combine, read without importing torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
        members = [info for info in infos if info.family == family]
        title = package.rpartition(".")[2].capitalize()
        console.print(_plugin_table(title, members))

    _print_names(
        console, "Threat models", {threat.name: _threat(threat) for threat in THREATS.values()}
    )
    _print_names(console, "Engines", {engine.name: engine.summary for engine in ENGINES.values()})
    _print_names(
        console,
        "Precisions",
        {precision.name: precision.summary for precision in PRECISIONS.values()},
    )
    _print_names(console, "Presets", {name: preset_summary(name) for name in preset_names()})
    console.print(
        "A spec is written NAME:PARAMETER=VALUE:..., such as defensegan:restarts=4:steps=100",
        highlight=False,
    )


def _plugin_table(title: str, plugins: Iterable[PluginInfo]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("name", style="bold")
    table.add_column("description", ratio=3)
    table.add_column("parameters and defaults", ratio=4)
    for info in plugins:
        parameters = ", ".join(
            f"{name}={default}" if default else name for name, default in info.parameters
        )
        texts = (info.name, info.summary, parameters)
        table.add_row(*(Text(one_line(text, len(text))) for text in texts))

    return table


def _threat(threat: ThreatKind) -> str:
    parameters = "; ".join(f"{name}: {PARAMETERS[name]}" for name in threat.parameters)
    return threat.summary + (f" ({parameters})" if parameters else "")


def _print_names(console: Console, title: str, summaries: Mapping[str, str]) -> None:
    table = Table.grid(padding=(0, 2))
    for name, summary in summaries.items():
        table.add_row("", Text(name, style="bold"), Text(summary))

    console.print(title, style="italic")
    console.print(table)
