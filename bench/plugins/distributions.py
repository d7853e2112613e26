"""Installed distributions that plugins are part of, or import."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path, PurePath

from bench.plugins.origins import installation_folder

_OWN = "purification-bench"
_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")


def distribution_of(path: Path) -> Distribution | None:
    """The distribution that installed a file; None for none.

    Args:
        path: file below a folder in which distributions are installed.
    """
    folder = installation_folder(path)
    if folder is None:
        return None
    below = path.relative_to(folder)
    candidates = _distributions(folder).get(_top(below), [])
    # Several distributions may share a namespace package; the lists of files are long to search.
    if len(candidates) <= 1:
        return next(iter(candidates), None)

    return next((found for found in candidates if _has(found, below)), None)


def is_needed(found: Distribution) -> bool:
    """Whether a distribution is this package or one that it needs, directly or not.

    Such a distribution, as PyTorch, is no part of an identity: the same networks serve all its
    versions, and the environment of a run names them.
    """
    return name_of(found) in _needed()


def name_of(found: Distribution) -> str:
    """The normalized name of a distribution."""
    return _normalized(found.metadata["Name"])


def distribution_identity(found: Distribution, *, whole: bool) -> list[str]:
    """The name, the version and a digest of an installed distribution.

    Args:
        found: installed distribution.
        whole: whether the digest covers the content of all files as they are now, which an edit
            changes. Otherwise it covers the installer's list of files and their digests.
    """
    content = _contents(found) if whole else [(found.read_text("RECORD") or "").encode()]
    digest = hashlib.sha256()
    for part in content:
        digest.update(hashlib.sha256(part).digest())

    return [name_of(found), found.version, digest.hexdigest()]


def _contents(found: Distribution) -> Iterator[bytes]:
    """Names and contents of a distribution's files, without compiled Python and metadata."""
    for file in sorted(found.files or (), key=str):
        path = Path(str(found.locate_file(file)))
        is_metadata = file.parts[0].endswith((".dist-info", ".egg-info"))
        if path.suffix != ".pyc" and not is_metadata and path.is_file():
            yield str(file).encode()
            yield path.read_bytes()


@cache
def _distributions(folder: Path) -> dict[str, list[Distribution]]:
    """The distributions in a folder by the names of their packages and modules."""
    by_name: dict[str, list[Distribution]] = {}
    for found in distributions(path=[str(folder)]):
        for name in {_top(file) for file in found.files or ()}:
            by_name.setdefault(name, []).append(found)

    return by_name


def _top(path: PurePath) -> str:
    """The name of the package or module that a file below the folder belongs to."""
    return path.parts[0].partition(".")[0]


def _has(found: Distribution, below: Path) -> bool:
    return any(file.as_posix() == below.as_posix() for file in found.files or ())


@cache
def _needed() -> frozenset[str]:
    """The distributions that this package needs, directly or not, and itself."""
    needed: set[str] = set()
    waiting = [_OWN]
    while waiting:
        name = _normalized(waiting.pop())
        if name not in needed:
            needed.add(name)
            waiting.extend(_requirements(name))

    return frozenset(needed)


def _requirements(name: str) -> Iterator[str]:
    """The names of the distributions that one requires, without those of its extras."""
    try:
        requirements = distribution(name).requires or []
    except PackageNotFoundError:  # one that another platform needs
        return

    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match and "extra ==" not in requirement:
            yield match[0]


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
