"""The files that a Python file imports, found in its text.

An import inside a function counts too, although it happens only when the function runs. An import
of a name that is computed while the code runs is not found here.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

_IMPORTERS = ("import_module", "__import__")
"""Functions that import a module by its name."""


def imported_files(path: Path, module: str | None) -> dict[Path, str]:
    """The files of the modules that a file may import, with the names of the modules.

    A file that is not Python imports nothing. The packages that a module lies in count as imported.

    Args:
        path: file to look into.
        module: name of its module, which relative imports start from, whether it is loaded or not;
            None if it has none.
    """
    names = dict.fromkeys(
        prefix for name in _names_in(path, _package(path, module)) for prefix in _prefixes(name)
    )
    located = ((file_of_module(name), name) for name in names)
    return {location: name for location, name in located if location is not None}


def imported_heads(path: Path) -> list[str]:
    """The top-level modules and packages that a file may import by their names.

    Args:
        path: file to look into.
    """
    return list(dict.fromkeys(name.partition(".")[0] for name in _names_in(path, "")))


def file_of_module(name: str) -> Path | None:
    """The file of a module, without importing it; None where there is no such module or file."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if module is not None:
        return Path(file).absolute() if file else None

    spec = _spec(name)
    has_file = spec is not None and spec.has_location and spec.origin is not None
    return Path(str(spec.origin)).absolute() if spec is not None and has_file else None


def module_name(path: Path) -> str | None:
    """The name of the loaded module of a file; None where the file is no loaded module."""
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) == str(path):
            return name
    return None


def _names_in(path: Path, package: str) -> Iterator[str]:
    """The absolute names that a file may import; none in a file that is not Python.

    Without a package there are no relative imports.
    """
    if path.suffix != ".py":
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # such a file cannot be imported either
        return

    yield from filter(None, _imported_names(tree, package))


def _package(path: Path, module: str | None) -> str:
    """The package that relative imports of a module start from; empty for none."""
    if module is None or path.name == "__init__.py":
        return module or ""
    return module.rpartition(".")[0]


def _imported_names(tree: ast.Module, package: str) -> Iterator[str]:
    """The names that a module imports, and the names it takes from them, which may be modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and node.args:
            yield from _called_name(node, package)


def _called_name(node: ast.Call, package: str) -> Iterator[str]:
    """The name in a call such as `import_module("helper")`."""
    function = ast.unparse(node.func).rpartition(".")[2]
    argument = node.args[0]
    if function in _IMPORTERS and isinstance(argument, ast.Constant):
        yield _absolute(str(argument.value), package)


def _absolute(name: str, package: str) -> str:
    """The absolute form of a name that may be relative; empty where there is none."""
    try:
        return importlib.util.resolve_name(name, package) if name.startswith(".") else name
    except ImportError:
        return ""


def _prefixes(name: str) -> Iterator[str]:
    """The names `a`, `a.b` and `a.b.c` of a name `a.b.c`."""
    parts = name.split(".")
    return (".".join(parts[: end + 1]) for end in range(len(parts)))


def _spec(name: str) -> ModuleSpec | None:
    """The specification of a module that is not loaded; its packages are not imported."""
    head, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(head)
        for index in range(len(rest)):
            folders = spec.submodule_search_locations if spec is not None else None
            if not folders:
                return None
            spec = PathFinder.find_spec(".".join([head, *rest[: index + 1]]), list(folders))
    except (ImportError, ValueError, AttributeError):
        return None

    return spec
