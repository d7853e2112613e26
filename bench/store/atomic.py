"""Atomic files: each is either whole or absent, also after a crash.

A file is written under a temporary name, and the writer holds a lock of the system (`flock`) on it.
The system releases the lock when the writer ends in any way, so that a temporary file without a
holder is one of a killed process, whatever clocks and process numbers say.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from bench.errors import StorageError

try:
    import fcntl
except ImportError:  # not every system has it
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("bench")

_SUFFIX = ".partial"

_LOCKED = re.compile(r"\.locked-([0-9a-f]{8})\.[^.]+\.partial")
"""The end of the name of a temporary file that its writer locks, with the mark of the host."""

_ABANDONED = 86_400.0
"""Age in seconds from which a file that its writer may not have locked is one of a killed process.
"""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file: to a temporary name in the same folder, flushed to disk, then renamed.

    Raises:
        StorageError: the file could not be written; an earlier file at that path is intact.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as (file, temporary):
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

            # A temporary file is private; the final one has the permissions of any other new file.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; what was written before is intact"
        ) from error


def sweep_partials(folder: Path) -> None:
    """Remove the temporary files of killed processes below a folder, without following links.

    A file that a process is writing stays. Where locks do not say so, a file stays for a day by the
    clock of its file system: on a file system without locks, for a file of another host, whose
    locks may not be seen here, and for a file of release 0.1.0, which locked none.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if is_partial(path):
                with contextlib.suppress(OSError):
                    _remove_abandoned(path)


def is_partial(path: Path) -> bool:
    """Whether a file is the temporary one of a write that is in progress or was killed."""
    return path.name.startswith(".") and path.name.endswith(_SUFFIX)


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new temporary file beside a path, locked while it is open; removed if it is still there."""
    descriptor, name = _new_locked(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file, Path(name)
    finally:
        with contextlib.suppress(OSError):
            Path(name).unlink(missing_ok=True)


def _new_locked(path: Path) -> tuple[int, str]:
    """A new temporary file that this process has locked: its descriptor and its path."""
    while True:
        descriptor, name = tempfile.mkstemp(
            dir=path.parent,
            prefix=f".{path.name[:40]}.locked-{_host()}.",
            suffix=_SUFFIX,
        )
        try:
            _lock(descriptor, wait=True)
        except BaseException:
            os.close(descriptor)
            Path(name).unlink(missing_ok=True)
            raise

        # A process that sweeps may have removed the file before it was locked.
        if os.path.lexists(name):
            return descriptor, name
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file; whether the file system has locks.

    Raises:
        BlockingIOError: another process holds the lock, and `wait` is false.
    """
    if fcntl is None:
        return False

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _remove_abandoned(path: Path) -> None:
    """Remove a temporary file, unless a process may still be writing it.

    Raises:
        OSError: the file is locked or is gone, or this user cannot open or remove it.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        return

    # Some network file systems lock only files that are open for writing.
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    try:
        has_locks = _lock(descriptor, wait=False)
        if (has_locks and _is_locked_here(path)) or _age(path) > _ABANDONED:
            path.unlink()
    finally:
        os.close(descriptor)


def _is_locked_here(path: Path) -> bool:
    """Whether the writer of a temporary file locked it, on this host."""
    name = _LOCKED.search(path.name)
    return name is not None and name[1] == _host()


def _age(path: Path) -> float:
    """Seconds since a file was changed, on the clock of its file system."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".clock.", suffix=_SUFFIX) as now:
        now.write(b"\0")
        now.flush()
        return os.fstat(now.fileno()).st_mtime - path.stat().st_mtime


def _host() -> str:
    """A mark of this host for the names of files."""
    return f"{crc32(platform.node().encode('utf-8', 'replace')):08x}"


def _umask() -> int:
    # The umask can only be read by setting it.
    current = os.umask(0)
    os.umask(current)
    return current


def make_way(path: Path) -> None:
    """Move a folder aside that lies in place of a file.

    Raises:
        StorageError: it could not be moved.
    """
    if not path.is_dir() or path.is_symlink():
        return

    aside = path.with_name(f"{path.name}.displaced-{os.getpid()}-{time.time_ns()}")
    try:
        path.rename(aside)
    except OSError as error:
        raise StorageError(
            f"the folder {path} lies in place of a file: {error.strerror or error}"
        ) from error
    logger.warning("the folder %s lay in place of a file; it is now %s", path, aside)
