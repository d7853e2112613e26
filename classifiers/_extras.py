"""The optional packages of some classifiers, and how to install them."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType


def imported_extra(package: str) -> ModuleType:
    """An optional package, imported now.

    Args:
        package: name of the package, or of a module of it; that of the package is the extra's too.

    Raises:
        ValueError: it is not installed, with the command that installs it.
    """
    name = package.partition(".")[0]
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"it needs the package {name}: pip install 'purification-bench[{name}]'")
    return importlib.import_module(package)
