"""`bench list`: what there is to compare, read without importing torch."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.latency.engines import ENGINES, PRECISIONS
from bench.plugins.catalog import DATASETS, FAMILIES, cards
from bench.run.presets import preset_names, read_preset
from bench.stages.threats import PARAMETERS, THREATS, Threat


def show(plugins: tuple[str, ...]) -> None:
    """Print all plugins and presets.

    Args:
        plugins: files or modules outside the package.
    """
    console = Console()
    found = cards(plugins)
    for family, package in FAMILIES.items():
        table = Table(
            title=package.capitalize(), title_justify="left", header_style="bold", show_lines=False
        )
        table.add_column("name", style="bold")
        table.add_column("what it is", ratio=3)
        table.add_column("parameters and defaults", ratio=4)
        for card in (card for card in found if card.family == family):
            parameters = ", ".join(
                f"{name}={default}" if default else name for name, default in card.parameters
            )
            table.add_row(*(Text(cell) for cell in (card.name, card.summary, parameters)))
        console.print(table)
    _names(console, "Datasets", DATASETS)
    _names(console, "Threat models", {threat.name: _threat(threat) for threat in THREATS.values()})
    _names(console, "Engines", {engine.name: engine.summary for engine in ENGINES.values()})
    _names(
        console,
        "Precisions",
        {precision.name: precision.summary for precision in PRECISIONS.values()},
    )
    _names(
        console,
        "Presets",
        {name: ", ".join(read_preset(name)["datasets"]) for name in preset_names()},
    )
    console.print(
        "Write a spec as NAME:PARAMETER=VALUE:..., such as defensegan:restarts=4:steps=100",
        highlight=False,
    )


def _threat(threat: Threat) -> str:
    parameters = "; ".join(f"{name}: {PARAMETERS[name]}" for name in threat.parameters)
    return threat.summary + (f" ({parameters})" if parameters else "")


def _names(console: Console, title: str, names: Mapping[str, str]) -> None:
    console.print(title, style="italic")
    for name, summary in names.items():
        console.print(f"  [bold]{name}[/bold]  {summary}", highlight=False)
