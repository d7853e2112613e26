"""Imports of plugins: the built-in ones, those of entry points, and those given with `--plugin`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

from bench.errors import RequestError
from bench.matplotlib_import import import_matplotlib
from bench.plugins.catalog import (
    ENTRY_POINT_GROUP,
    builtin_files,
    is_file_name,
    plugin_source,
)
from bench.plugins.code import IMPORT_READS, REGISTERED_BY, code_identity
from bench.plugins.faults import plugin_request
from bench.plugins.folders import module_name_in_folder, open_folder
from bench.plugins.packages import PACKAGES, package_folder
from bench.plugins.reads import recorded
from bench.registry import REGISTRIES


def discover(plugins: Iterable[str] = ()) -> None:
    """Import all plugins, so that each of them registers itself.

    Args:
        plugins: files or module names, as given to `--plugin`.

    Raises:
        RequestError: a plugin cannot be found or imported, or two plugins have the same name.
    """
    import_matplotlib()  # before foolbox does, which would obey settings in the working folder
    for package in PACKAGES.values():
        for path in builtin_files(package):
            _import(f"{package}.{path.stem}")
    for point in entry_points(group=ENTRY_POINT_GROUP):
        _import(point.module)
    for plugin in plugins:
        import_plugin(plugin)

    # Digests are taken now, so that they are those of the code that was imported.
    for cls in _registered():
        code_identity(cls)


def import_plugin(plugin: str, kind: str = "plugin") -> str:
    """Import a plugin and return the name of its module; a file is imported only once.

    Args:
        plugin: file or module name, as given to `--plugin`.
        kind: what the file has, in messages.

    Raises:
        RequestError: the plugin cannot be found or imported, or its name is taken.
    """
    path = plugin_source(plugin, kind)
    package = path.parent.name
    if package in PACKAGES.values() and path.parent == package_folder(package):
        _import(f"{package}.{path.stem}")
        return f"{package}.{path.stem}"

    if not is_file_name(plugin):
        _import(plugin, kind)
        return plugin

    name = module_name_in_folder(path)
    if name not in sys.modules:
        open_folder(path)
        _import_file(name, path, kind)

    return name


def _import_file(name: str, path: Path, kind: str) -> None:
    """Import a file as the module `name`."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RequestError(f"{kind} {path} cannot be imported")

    module = importlib.util.module_from_spec(spec)
    # Before the code runs, because dataclasses look up their module while a class is made.
    sys.modules[name] = module

    try:
        with _imported(f"{kind} {path}", name):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _import(name: str, kind: str = "plugin") -> None:
    """Import a module by name."""
    with _imported(f"{kind} module {name}", name):
        importlib.import_module(name)


@contextmanager
def _imported(description: str, module: str) -> Iterator[None]:
    """Record what an import opens and registers; whatever it raises becomes a `RequestError`.

    Args:
        description: name of the plugin in the message.
        module: name of the module that is imported.
    """
    before = set(_registered())
    with recorded(IMPORT_READS), plugin_request(f"{description} cannot be imported: it"):
        yield

    file = getattr(sys.modules.get(module), "__file__", None)
    if file is not None:
        for cls in set(_registered()) - before:
            REGISTERED_BY[cls] = Path(file)


def _registered() -> Iterator[type]:
    """All plugin classes that are registered."""
    for registry in REGISTRIES.values():
        yield from map(registry.get, registry)
