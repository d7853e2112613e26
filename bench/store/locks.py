"""Locks of files, held by one process at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import StorageError

logger = logging.getLogger("bench")


@contextmanager
def locked(path: Path, activity: str) -> Iterator[None]:
    """Hold a file lock during the block.

    Args:
        path: file of the lock.
        activity: work of the process that holds the lock, logged before waiting for it.

    Raises:
        StorageError: the file of the lock could not be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("waiting for another process: %s", activity)
            lock.acquire()
    except OSError as error:
        raise StorageError(f"cannot lock {path}: {error.strerror or error}") from error

    try:
        yield
    finally:
        lock.release()
