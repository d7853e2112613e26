"""The code of a plugin: the files and distributions that decide what it computes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from bench.plugins.counted import counted_digest
from bench.plugins.distributions import (
    distribution_identity,
    distribution_of,
    is_needed,
    name_of,
)
from bench.plugins.folders import without_folder
from bench.plugins.imports import imported_files, module_name
from bench.plugins.origins import (
    is_builtin_plugin,
    is_installed,
    is_live,
    is_no_file,
    is_outside,
)
from bench.plugins.reads import Reads
from bench.plugins.released import is_all_released, is_released

CODE = ("source", "code", "distributions", "live")
"""Parts of a plugin's identity that describe its code."""

IMPORT_READS = Reads()
"""The files that were opened while plugins were imported."""

Code = Callable[..., Any]
"""A class, or a function."""

REGISTERED_BY: dict[Code, Path] = {}
"""The file whose import registered a class, or that a function was taken from.

Another file may define it.
"""

_identities: dict[Code, dict[str, Any]] = {}
"""The identities that were asked for, so that they stay those of the code that was imported."""


def code_identity(cls: Code) -> dict[str, Any]:
    """The part of a plugin's identity that describes its code, as JSON values.

    `source` is the digest of the file of the class. `code` holds names and digests of the other
    files: the one that registers the class, modules that these, its base classes and their helpers
    import, and data files that are read during these imports. `distributions` holds name, version
    and digest of installed distributions. A built-in plugin whose files are as released has none
    of these. The folders of the files do not count. `live` takes their place for a class without a
    file, as in a notebook, see `bench.plugins.live_code`.

    The identity is that of the files at the first call, which follows the import of the class.

    Args:
        cls: class of the plugin, or a function that makes a network.
    """
    if cls not in _identities:
        _identities[cls] = _code_identity(cls)
    return _identities[cls]


def _code_identity(cls: Code) -> dict[str, Any]:
    own = _class_files(cls)
    if not own and is_live(cls.__module__):
        from bench.plugins.live_code import live_digest  # which uses the identities of files

        return {"live": live_digest(cls)}
    # Without this, every command would look through the imports of all built-in plugins.
    if not own or (all(map(is_builtin_plugin, own)) and is_all_released()):
        return {}

    source = own[0]
    files = _collected(own)
    others = {path: name for path, name in files.code.items() if path != source}
    code = sorted([_name(path, name, source), _digest(path)] for path, name in others.items())
    distributions = sorted(
        distribution_identity(found, whole=whole) for found, whole in files.distributions.values()
    )

    return {
        **({} if _is_as_released(source) else {"source": _digest(source)}),
        **({"code": code} if code else {}),
        **({"distributions": distributions} if distributions else {}),
    }


def plugin_files(path: Path) -> list[Path]:
    """The user's files that decide what a plugin's file computes: itself, and those that it uses.

    Args:
        path: file of a plugin, which is imported.
    """
    return [file for file in _collected([path]).code if is_outside(file)]


@dataclass
class _Files:
    """The files and distributions that a plugin's code consists of.

    Attributes:
        code: files that are the user's, and built-in plugins that are not as released, with the
            names of their modules; None for a data file.
        distributions: installed distributions by name, each with whether the plugin is part of it,
            so that all its files count.
    """

    code: dict[Path, str | None] = field(default_factory=dict)
    distributions: dict[str, tuple[Distribution, bool]] = field(default_factory=dict)


def _collected(own: list[Path]) -> _Files:
    """Everything that files of classes import or read, directly or not, and these files."""
    files = _Files()
    seen = set(own)
    waiting = [(path, module_name(path)) for path in own]
    for path, name in waiting:
        _add(path, name, files, whole=True)

    while waiting:
        for used, name in _used_by(*waiting.pop()).items():
            if used not in seen and _add(used, name, files, whole=False):
                waiting.append((used, name))
            seen.add(used)

    return files


def _add(path: Path, name: str | None, files: _Files, *, whole: bool) -> bool:
    """Add a file to those that count; returns whether what it imports counts too."""
    if is_builtin_plugin(path):
        if not is_released(path):
            files.code[path] = name
        return True
    if is_outside(path):
        files.code[path] = name
        return True
    if not is_installed(path):
        return False

    found = distribution_of(path)
    if found is None:  # a file that someone copied to where distributions are installed
        files.code[path] = name
        return True
    if not is_needed(found):
        files.distributions.setdefault(name_of(found), (found, whole))
    return False


def _used_by(path: Path, module: str | None) -> dict[Path, str | None]:
    """The files that a module imports, and those that its code opened while it was imported."""
    imported: dict[Path, str | None] = {**imported_files(path, module)}
    used = {**dict.fromkeys(IMPORT_READS.by(path)), **imported}
    return {_on_disk(file): name for file, name in used.items()}


def _class_files(cls: Code) -> list[Path]:
    """The files of a class, of its base classes and of its registration.

    Those of Python and this package are left out.
    """
    bases = cls.__mro__ if isinstance(cls, type) else (cls,)
    modules = (sys.modules.get(base.__module__) for base in bases)
    names = [getattr(module, "__file__", None) for module in modules]
    given = (name for name in (*names, REGISTERED_BY.get(cls)) if name)
    paths = dict.fromkeys(Path(name) for name in given if not is_no_file(str(name)))

    return [path for path in map(_on_disk, paths) if _may_count(path)]


def _may_count(path: Path) -> bool:
    if is_builtin_plugin(path) or is_outside(path):
        return True
    if not is_installed(path):
        return False
    found = distribution_of(path)

    return found is None or not is_needed(found)


def _on_disk(path: Path) -> Path:
    """The path of a module's file; the archive that holds it, where it lies in one."""
    path = path.absolute()
    if path.is_file():
        return path
    return next((parent for parent in path.parents if parent.is_file()), path)


def _digest(path: Path) -> str:
    return counted_digest(path, is_code=True)


def _is_as_released(path: Path) -> bool:
    return is_builtin_plugin(path) and is_released(path)


def _name(path: Path, module: str | None, source: Path) -> str:
    """A name of a file that does not depend on where its folder lies."""
    if is_builtin_plugin(path):
        return f"{path.parent.name}/{path.name}"
    if path.is_relative_to(source.parent):
        return path.relative_to(source.parent).as_posix()

    return without_folder(module) if module else path.name
