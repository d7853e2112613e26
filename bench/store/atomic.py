"""Files that are either whole or absent."""

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


def write_bytes(path: Path, data: bytes) -> None:
    """Write to a temporary name in the same folder, flush to disk, rename.

    Raises:
        StorageError: the file could not be written; what stood there before is intact.
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
    """`write_bytes` for text, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """`write_bytes` for a JSON object, indented; NaN is refused."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def sweep_partials(folder: Path, older_than_s: float = 86_400.0) -> None:
    """Remove temporary files a killed process left behind, once they are old enough to belong to nobody."""
    for path in folder.rglob(f".*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > older_than_s:
                path.unlink()


def is_partial(path: Path) -> bool:
    """Whether it is the temporary file of a write that is under way, or was killed."""
    return path.name.startswith(".") and path.name.endswith(_SUFFIX)


def _umask() -> int:
    """The process's umask; a temporary file is private until it is put in place."""
    current = os.umask(0)
    os.umask(current)
    return current
