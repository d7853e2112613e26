"""`bench check`: the conformance suite on one plugin."""

from __future__ import annotations

from rich.console import Console

from bench.commands.folders import data_folder
from bench.conformance import conformance
from bench.errors import RequestError, unknown
from bench.plugins.catalog import is_file_name, list_plugins, plugin_source
from bench.plugins.discovery import discover
from bench.plugins.source import plugins_in
from bench.progress import say
from bench.text import visible


def check(plugin: str) -> int:
    """Run the suite on every plugin of a file or module, or on a registered name or spec.

    Returns:
        0 when every check passed, else 1.

    Raises:
        RequestError: there is no such plugin, or the file registers none.
    """
    console = Console(highlight=False, soft_wrap=True)
    failed = 0

    for family, spec in _plugins(plugin):
        console.print(visible(f"{family} {spec}"), style="bold", markup=False, emoji=False)
        for description, reason in conformance(family, spec, data_folder(None)):
            failed += bool(reason)
            result = f"FAIL {description}  {reason}" if reason else f"ok   {description}"
            say(console, f"  {result}")

    say(console, f"{failed} checks failed" if failed else "all checks passed")
    return 1 if failed else 0


def _plugins(plugin: str) -> list[tuple[str, str]]:
    """The plugins to check, as family and spec; they are registered."""
    return _installed(plugin) or _from_source(plugin)


def _installed(plugin: str) -> list[tuple[str, str]]:
    """The installed plugins of a name or spec, of any family."""
    name = plugin.partition(":")[0]  # of a spec; a path among its parameters makes it no file
    installed = [(info.family, plugin) for info in list_plugins() if info.name == name]
    if installed:
        discover()

    return installed


def _from_source(plugin: str) -> list[tuple[str, str]]:
    """The plugins that a file or module registers."""
    try:
        source = plugin_source(plugin)
    except RequestError as error:
        if is_file_name(plugin) or "." in plugin:
            raise
        names = [info.name for info in list_plugins()]
        raise unknown("plugin", plugin, names) from error

    discover((plugin,))
    registered = [(info.family, info.name) for info in plugins_in(source)]
    if not registered:
        raise RequestError(
            f"{source} registers no plugin: decorate a class with @register_defense('NAME'), "
            "@register_attack('NAME'), @register_classifier('NAME') or @register_dataset('NAME')"
        )

    return registered
