"""The software that decides what a task computes, beside the plugins whose code is in its key."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

from bench.plugins.packages import ROOT

_LIBRARIES = ("torch", "numpy")
"""Distributions whose releases may compute different bits."""


@cache
def software() -> dict[str, str]:
    """Digest of this package's code, and versions of the libraries that compute, by name.

    A local part of a version, which names a build such as `+cpu`, is left out.
    """
    libraries = {name: version(name).partition("+")[0] for name in _LIBRARIES}
    return {"purification-bench": _code_digest(ROOT / "bench"), **libraries}


def _code_digest(folder: Path) -> str:
    """The SHA-256 digest over names and contents of the modules of a package."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\x00{content}\x00".encode())

    return total.hexdigest()
