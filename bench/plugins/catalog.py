"""The catalog of plugins: everything that `bench list` shows, read without importing a plugin.

A run uses the registries instead; a test checks that both agree.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from bench.errors import RequestError
from bench.plugins.packages import PACKAGES, package_folder
from bench.plugins.source import PluginInfo, plugins_in
from bench.spec import NAME

ENTRY_POINT_GROUP = "purification_bench.plugins"
"""The entry points through which other distributions add plugins."""


def list_plugins(plugins: tuple[str, ...] = ()) -> list[PluginInfo]:
    """All built-in, installed and given plugins, sorted by family and name.

    Args:
        plugins: files or module names, as given to `--plugin`.

    Raises:
        RequestError: a file cannot be found or read, or two plugins have the same name.
    """
    infos: dict[tuple[str, str], PluginInfo] = {}
    for path in _source_files(plugins):
        for info in plugins_in(path):
            taken = infos.setdefault((info.family, info.name), info)
            if taken.origin != info.origin:
                raise RequestError(
                    f"two plugins are called {info.family} '{info.name}': "
                    f"{taken.origin} and {info.origin}; rename one of them"
                )

    families = list(PACKAGES)
    return sorted(infos.values(), key=lambda info: (families.index(info.family), info.name))


def builtin_files(package: str) -> list[Path]:
    """The files of the built-in plugins in a package, sorted, without its underscore helpers.

    Raises:
        RequestError: the package is not installed, or another of the same name shadows it.
    """
    return sorted(package_folder(package).glob("[!_]*.py"))


def plugin_source(plugin: str, kind: str = "plugin") -> Path:
    """The file of a plugin, found without importing it.

    Args:
        plugin: file or module name, as given to `--plugin` or in an entry point.
        kind: what the file has, in messages.

    Raises:
        RequestError: there is no such file or module.
    """
    if is_file_name(plugin):
        path = Path(plugin)
        if not path.is_file():
            raise RequestError(f"{kind} file '{plugin}' does not exist")
        return path.resolve()

    try:
        spec = importlib.util.find_spec(plugin)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise RequestError(f"{kind} '{plugin}' is neither a file nor a module that can be imported")

    return Path(spec.origin)


def is_file_name(plugin: str) -> bool:
    """Whether a `--plugin` value names a file, not a module."""
    return plugin.endswith(".py") or "/" in plugin


def split_source(plugin: str) -> tuple[str, str]:
    """File and spec of `FILE.py:SPEC`; the spec is empty for `FILE.py`, and both for other text.

    A spec may name a file among its parameters.

    Args:
        plugin: plugin as given to `bench check`.
    """
    file, suffix, spec = plugin.partition(".py:")
    if suffix and not NAME.fullmatch(plugin.partition(":")[0]):
        return f"{file}.py", spec
    return (plugin, "") if plugin.endswith(".py") else ("", "")


def _source_files(plugins: tuple[str, ...]) -> Iterator[Path]:
    """The files of all built-in, installed and given plugins."""
    for package in PACKAGES.values():
        yield from builtin_files(package)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        yield plugin_source(point.module)
    for plugin in plugins:
        yield plugin_source(plugin)
