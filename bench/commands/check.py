"""`bench check`: the conformance suite on one plugin."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console

from bench.commands.folders import data_folder
from bench.conformance import Finding, conformance
from bench.errors import RequestError, unknown
from bench.plugins.catalog import is_file_name, list_plugins, plugin_source, split_source
from bench.plugins.discovery import discover
from bench.plugins.source import plugins_in
from bench.progress import reporter, say
from bench.spec import Spec
from bench.stages.datasets import load_dataset
from bench.text import visible


def check(plugin: str, dataset: str, data: Path | None) -> int:
    """Run the suite on every plugin of a file or module, or on a single one.

    Args:
        plugin: file or module, name or spec of a registered plugin, or the file and the spec of one
            of its plugins, `FILE.py:SPEC`.
        dataset: spec of the data set on whose images plugins are checked.
        data: folder of data sets; None for the default.

    Returns:
        0 when every check passed, else 1.

    Raises:
        RequestError: there is no such plugin or data set, or the file registers none.
    """
    console = Console(highlight=False, soft_wrap=True)
    failed = 0
    plugins = _plugins(plugin)
    folder = data_folder(data)
    load_dataset(dataset, folder, reporter(Console(stderr=True)))  # once, with progress

    for family, spec in plugins:
        console.print(visible(f"{family} {spec}"), style="bold", markup=False, emoji=False)
        causes: Counter[str] = Counter()
        for finding in conformance(family, spec, folder, dataset):
            failed += bool(finding.reason)
            if finding.cause:
                causes[finding.cause] += 1
            else:
                say(console, f"  {_line(finding)}")
        for cause, count in causes.items():
            say(console, f"  -    {_counted(count)} not judged, because of the failure of: {cause}")

    say(console, f"{_counted(failed)} failed" if failed else "all checks passed")
    return 1 if failed else 0


def _line(finding: Finding) -> str:
    if finding.reason:
        return f"FAIL {finding.check}  {finding.reason}"
    if finding.not_applicable:
        return f"-    {finding.check} (not applicable: {finding.not_applicable})"
    if finding.note:
        return f"ok   {finding.check}  Note: {finding.note}"
    return f"ok   {finding.check}"


def _counted(checks: int) -> str:
    return f"{checks} check" if checks == 1 else f"{checks} checks"


def _plugins(plugin: str) -> list[tuple[str, str]]:
    """The plugins to check, as family and spec; they are registered."""
    file, spec = split_source(plugin)
    if file:
        return _from_file(file, spec)
    return _installed(plugin) or _from_source(plugin)


def _installed(plugin: str) -> list[tuple[str, str]]:
    """The installed plugins of a name or spec, of any family."""
    name = plugin.partition(":")[0]  # of a spec; a path among its parameters makes it no file
    installed = [(info.family, plugin) for info in list_plugins() if info.name == name]
    if installed:
        discover()

    return installed


def _from_file(file: str, spec: str) -> list[tuple[str, str]]:
    """The plugins that a file registers; with a spec, those of its name, as the spec says.

    Raises:
        RequestError: the file registers none of this name.
    """
    registered = _from_source(file)
    if not spec:
        return registered

    name = Spec.parse(spec).name
    chosen = [(family, spec) for family, other in registered if other == name]
    if not chosen:
        raise unknown(f"plugin of {file}", name, [other for _, other in registered])
    return chosen


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
