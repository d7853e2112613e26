"""`bench check`: the conformance suite on one plugin."""

from __future__ import annotations

from rich.console import Console

from bench.conformance import conformance
from bench.errors import RequestError, unknown
from bench.plugins.catalog import cards, cards_in, plugin_source
from bench.plugins.discovery import discover
from bench.spec import Spec


def check(plugin: str) -> int:
    """Run the suite on every plugin a file or module registers, or on a registered name or spec.

    Returns:
        0 when every check passed, else 1.

    Raises:
        RequestError: there is no such plugin, or the file registers none.
    """
    console = Console(highlight=False, soft_wrap=True)
    failed = 0
    for family, spec in _subjects(plugin):
        console.print(f"{family} {spec}", style="bold", markup=False)
        for description, reason in conformance(family, spec):
            failed += bool(reason)
            console.print(
                f"  {'FAIL' if reason else 'ok  '} {description}"
                + (f"  {reason}" if reason else ""),
                markup=False,
            )
    console.print(f"{failed} checks failed" if failed else "all checks passed")
    return 1 if failed else 0


def _subjects(plugin: str) -> list[tuple[str, str]]:
    """Family and spec of what is to be checked."""
    name = (
        plugin
        if plugin.endswith(".py") or "/" in plugin
        else Spec.parse(plugin).name
        if ":" in plugin
        else plugin
    )
    builtin = [(card.family, plugin) for card in cards() if card.name == name]
    if builtin:
        discover()
        return builtin
    try:
        source = plugin_source(plugin)
    except RequestError as error:
        if plugin.endswith(".py") or "/" in plugin or "." in plugin:
            raise
        raise unknown("plugin", plugin, [card.name for card in cards()]) from error
    discover((plugin,))
    found = [(card.family, card.name) for card in cards_in(source)]
    if not found:
        raise RequestError(
            f"{source} registers no plugin: decorate a class with @register_defense('NAME') or the like"
        )
    return found
