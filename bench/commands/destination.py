"""The destination of a run: the name and the folder of its results."""

from __future__ import annotations

import glob
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.commands.folders import RUNS
from bench.commands.paths import checked_folder
from bench.commands.request import Resources
from bench.errors import RequestError
from bench.records.changes import changed_code
from bench.records.folder import RunFolder
from bench.sweep.shard import Shard

logger = logging.getLogger("bench")


@dataclass(frozen=True)
class Destination:
    """The name and the folder of a run.

    Attributes:
        name: name of the preset or of the configuration.
        path: folder of the run, or of all runs.
        is_parent: whether the path is that of all runs.
        command: name of the command; empty for `bench run`.
        shard: shard of the grid that is run; None for the whole grid.
    """

    name: str
    path: Path
    is_parent: bool
    command: str = ""
    shard: Shard | None = None

    @classmethod
    def of(
        cls, name: str, resources: Resources, command: str = "", shard: Shard | None = None
    ) -> Self:
        """The destination that a request names, or else one among those of all runs."""
        path, is_parent = resources.out or RUNS, resources.out is None
        return cls(name, path, is_parent=is_parent, command=command, shard=shard)

    @property
    def title(self) -> str:
        """Start of the names of the folders of such runs."""
        return f"{self.command}-{self.name}" if self.command else self.name

    def folder(self, key: str) -> Path:
        """The folder of a run of this content key.

        Raises:
            RequestError: it cannot be made.
        """
        if not self.is_parent:
            return self.path

        suffix = f"-{self.shard.folder_suffix}" if self.shard else ""
        return checked_folder("--out", self.path / f"{self.title}-{key[:8]}{suffix}")


def open_folder(path: Path, config: Mapping[str, Any], title: str) -> RunFolder:
    """The folder of a run, made where it does not exist.

    Plugins whose code has changed since an earlier run of the same request are named.

    Args:
        path: folder of the run.
        config: resolved configuration.
        title: start of the names of the folders of such runs.

    Raises:
        RequestError: the folder holds a run of another configuration or of other code, or something
            else.
    """
    earlier = _stored_configuration(path)
    if earlier is not None and (changed := changed_code(earlier, config)):
        raise RequestError(
            f"{path} holds a run of other code: {'; '.join(changed)} changed since; choose another "
            "folder with --out"
        )

    for sibling in _siblings(title) if earlier is None else []:
        stored = _stored_configuration(sibling)
        if stored is not None and (changed := changed_code(stored, config)):
            logger.info("changed since the run in %s: %s", sibling, "; ".join(changed))
            break

    return RunFolder.create(path, config)


def _siblings(title: str) -> list[Path]:
    """The folders of earlier runs whose names begin with a title, the latest first."""
    found = []
    for path in RUNS.glob(f"{glob.escape(title)}-*"):
        # A link may lead nowhere, and another process may remove a folder at any moment.
        with suppress(OSError):
            found.append((path.stat().st_mtime, path))

    return [path for _, path in sorted(found, reverse=True)]


def _stored_configuration(path: Path) -> dict[str, Any] | None:
    """The configuration of the run in a folder; None where there is none, or a damaged one."""
    try:
        return RunFolder(path).config()
    except RequestError:
        return None
