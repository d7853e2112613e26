"""The packages of built-in plugins: their names, and the folders they are installed in."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from bench.errors import RequestError

FAMILIES = {"defense": "defenses", "attack": "attacks", "classifier": "classifiers"}
"""Each plugin family whose code decides results, and the package of its built-in plugins."""

PACKAGES = {**FAMILIES, "dataset": "bench.datasets"}
"""Every plugin family with its package; of a data set only the images decide results."""

ROOT = Path(__file__).parents[2]
"""The folder that this copy of `bench` lies in; the packages of plugins lie beside it."""


def package_folder(package: str) -> Path:
    """The folder of a package of built-in plugins, found without importing it.

    Raises:
        RequestError: the package is not installed, or Python finds a folder or file of the same
            name first.
    """
    installed = ROOT.joinpath(*package.split("."))
    location = _location(package)
    if not installed.is_dir() or location is None:
        raise RequestError(
            f"the package '{package}' is not installed: reinstall purification-bench"
        )

    if not _is_same_package(location, installed):
        raise RequestError(_shadowed(package, installed, location))

    return installed


def _is_same_package(location: Path, installed: Path) -> bool:
    """Whether two folders are one package, also where folders or files are symbolic links."""
    ours, theirs = installed / "__init__.py", location / "__init__.py"
    return theirs.is_file() and theirs.samefile(ours)


def _location(package: str) -> Path | None:
    """The folder or file that `import package` would load; None if there is none."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None

    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    if spec is not None and spec.origin is not None:
        return Path(spec.origin)

    return None


def _shadowed(package: str, installed: Path, location: Path) -> str:
    """The message for a folder or file that Python finds in place of a package of plugins."""
    kind = "folder" if location.is_dir() else "file"
    parent = location.resolve().parent
    remedy = f"rename the {kind} or remove {parent} from PYTHONPATH"
    if parent == Path.cwd():
        remedy += ", or start the command in another folder"

    return (
        f"the {kind} {location} shadows the package '{package}' of purification-bench in "
        f"{installed}: {remedy}"
    )
