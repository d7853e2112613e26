"""`bench check`: the conformance suite on one plugin."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.commands.folders import data_folder
from bench.conformance import DIGITS, conformance
from bench.errors import RequestError, unknown
from bench.plugins.catalog import is_file_name, list_plugins, plugin_source
from bench.plugins.discovery import discover
from bench.plugins.source import plugins_in
from bench.progress import reporter, say
from bench.spec import Spec
from bench.stages.datasets import load_dataset
from bench.text import visible


def check(plugin: str, dataset: str | None, data: Path | None) -> int:
    """Run the suite on every plugin of a file or module, or on a registered name or spec.

    Args:
        plugin: file, module, name or spec.
        dataset: spec of the data set whose images defenses and classifiers are given; None for the
            digits.
        data: folder of all data sets; None for the default.

    Returns:
        0 when every check passed, else 1.

    Raises:
        RequestError: there is no such plugin, the file registers none, or the data set cannot be
            loaded.
    """
    console = Console(highlight=False, soft_wrap=True)
    failed = 0
    plugins = _plugins(plugin)
    folder, on = data_folder(data), dataset or DIGITS
    load_dataset(on, folder, reporter(Console(stderr=True)))

    for family, spec in plugins:
        console.print(visible(f"{family} {spec}"), style="bold", markup=False, emoji=False)
        for description, reason in conformance(family, spec, folder, on):
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
    is_spec = ":" in plugin and not is_file_name(plugin)
    name = Spec.parse(plugin).name if is_spec else plugin
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
