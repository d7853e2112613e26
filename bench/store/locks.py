"""Locks of files, held by one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import StorageError
from bench.store.holders import NOTE_SUFFIX, noted, wait_for


@contextmanager
def locked(path: Path, activity: str) -> Iterator[None]:
    """Hold a file lock during the block.

    Args:
        path: file of the lock.
        activity: work of the process that holds the lock, logged with its number while waiting.

    Raises:
        StorageError: the file of the lock could not be made.
    """
    note = path.with_name(path.name + NOTE_SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        wait_for(lambda seconds: _taken(lock, seconds), lambda: [note], activity)
    except OSError as error:
        raise StorageError(f"cannot lock {path}: {error.strerror or error}") from error

    try:
        with noted(note):
            yield
    finally:
        lock.release()


def _taken(lock: FileLock, seconds: float) -> bool:
    """Whether the lock was taken within some seconds."""
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    return True
