"""Origins of files: Python's library, an installed distribution, this package, or its users."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from pathlib import Path

from bench.plugins.packages import FAMILIES, ROOT

_INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Names of the folders that distributions are installed in."""

_SYSTEM = ("/proc/", "/sys/", "/dev/")
"""Folders whose files are the state of the machine."""


def is_installed(path: Path) -> bool:
    """Whether a file lies in a folder in which distributions are installed."""
    return installation_folder(path) is not None


def installation_folder(path: Path) -> Path | None:
    """The folder of installed distributions that a file lies in; None for any other file."""
    return next((folder for folder in path.parents if folder.name in _INSTALLED), None)


def is_no_file(name: str) -> bool:
    """Whether the name of a module's file stands for none, such as `<stdin>`."""
    return name.startswith("<")


def is_live(module: str) -> bool:
    """Whether the code of a module has no file, as in a notebook or an interactive interpreter."""
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    if file is not None:
        return is_no_file(file)
    # A part of Python that is compiled in has a specification, a notebook has none.
    return module != "builtins" and getattr(found, "__spec__", None) is None


def is_builtin_plugin(path: Path) -> bool:
    """Whether a file lies in one of the packages of built-in plugins."""
    return any(_is_below(path, ROOT / package) for package in FAMILIES.values())


def is_outside(path: Path) -> bool:
    """Whether a file is the user's: no part of Python, of a distribution or of this package."""
    return _is_outside(str(path))


@cache
def _is_outside(text: str) -> bool:
    path = Path(text)
    if not path.is_absolute() or text.startswith(_SYSTEM) or is_installed(path):
        return False

    return not any(_is_below(path, folder) for folder in _own_folders())


@cache
def _own_folders() -> tuple[Path, ...]:
    """The folders of Python's library, of its programs, `bench` among them, and of this package."""
    paths = sysconfig.get_paths()
    library = {Path(paths[name]) for name in ("stdlib", "platstdlib", "scripts")}

    return (*library, *(ROOT / package for package in ("bench", *FAMILIES.values())))


def _is_below(path: Path, folder: Path) -> bool:
    """Whether a file lies below a folder, also where either is reached through a link."""
    return path.is_relative_to(folder) or _real(path).is_relative_to(_real(folder))


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
