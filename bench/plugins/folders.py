"""The folders of plugin files, in which their imports find the modules beside them."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

from bench.errors import RequestError
from bench.plugins.imports import file_of_module, imported_heads
from bench.plugins.origins import is_outside
from bench.text import LONGEST_NAME, one_line

_PREFIX = "_bench_plugin_"
"""Beginning of the names of the packages that stand for folders."""


def module_name_in_folder(path: Path) -> str:
    """The name under which a plugin file is imported: in a package that stands for its folder."""
    # A dot would make a package of what precedes it.
    return f"{_package_name(path.parent)}.{path.stem.replace('.', '%2E')}"


def without_folder(module: str) -> str:
    """The name of a module without the package that stands for a plugin's folder."""
    head, _, rest = module.partition(".")
    return rest if head.startswith(_PREFIX) and rest else module


def open_folder(path: Path) -> None:
    """Let a plugin file, and what it imports, import the modules of its folder, also later.

    The folder comes last in `sys.path`, so that it hides neither Python's library nor an installed
    package. It also is a package of its own, so that `from . import helper` works in the plugin. An
    `__init__.py` in it does not run.

    Args:
        path: absolute path of the plugin file.

    Raises:
        RequestError: Python finds another file of the user's under the name of a module that lies
            in the folder and is imported.
    """
    _check_helpers(path)
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)

    name = _package_name(path.parent)
    if name not in sys.modules:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [folder]
        sys.modules[name] = importlib.util.module_from_spec(spec)


def _package_name(folder: Path) -> str:
    return f"{_PREFIX}{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def _check_helpers(path: Path) -> None:
    """Check that a plugin's imports of modules in its folder do not find those of another one.

    Python keeps one module of a name, which would silently serve both plugins.
    """
    for name, own in _helpers(path):
        found = file_of_module(name) or _other_folder(name, own)
        if found is not None and is_outside(found) and not found.samefile(own):
            shown = one_line(name, LONGEST_NAME)
            raise RequestError(
                f"plugin {path} imports '{shown}', and there are two: {own} and {found}; rename "
                f"one of them, or write `from . import {shown}` for the one beside the plugin"
            )


def _helpers(path: Path) -> Iterator[tuple[str, Path]]:
    """The modules of a plugin's folder that it imports by name, directly or not, with files."""
    seen = {path}
    waiting = [path]
    while waiting:
        for name in imported_heads(waiting.pop()):
            own = _file_in(path.parent, name)
            if own is not None and own not in seen:
                seen.add(own)
                waiting.extend(own.rglob("*.py") if own.is_dir() else [own])
                yield name, own


def _file_in(folder: Path, name: str) -> Path | None:
    """The file of the module or package of a name in a folder; None where there is none.

    Of a package without `__init__.py` it is the folder.
    """
    files = (folder / name / "__init__.py", folder / f"{name}.py")
    found = next((file for file in files if file.is_file()), None)
    if found is None and any((folder / name).glob("*.py")):
        return folder / name
    return found


def _other_folder(name: str, own: Path) -> Path | None:
    """Another folder that Python would take for part of the package of that name; None for none."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    places = (spec.submodule_search_locations if spec is not None else None) or ()
    others = (Path(place) for place in places if Path(place).is_dir())
    folder = own if own.is_dir() else own.parent

    return next((place for place in others if not place.samefile(folder)), None)
