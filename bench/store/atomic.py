"""Atomic files: each is either whole or absent, also after a crash."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import StorageError

_SUFFIX = ".partial"

_ABANDONED = 86_400.0
"""Age in seconds from which a temporary file belongs to a process that was killed."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file: to a temporary name in the same folder, flushed to disk, then renamed.

    Raises:
        StorageError: the file could not be written; an earlier file at that path is intact.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name[:40]}.", suffix=_SUFFIX
        )
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

        # A temporary file is private; the final one has the permissions of any other new file.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; what was written before is intact"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, indented, as `write_bytes` does.

    Raises:
        ValueError: the content holds NaN or an infinite number.
        StorageError: the file could not be written.
    """
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def sweep_partials(folder: Path) -> None:
    """Remove the temporary files of killed processes, those older than a day."""
    for path in folder.rglob(f".*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()


def is_partial(path: Path) -> bool:
    """Whether a file is the temporary one of a write that is in progress or was killed."""
    return path.name.startswith(".") and path.name.endswith(_SUFFIX)


def _umask() -> int:
    # The umask can only be read by setting it.
    current = os.umask(0)
    os.umask(current)
    return current
