"""Memories of files: what was read is kept until the file changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

FileState = tuple[int, int, int, int]
"""Inode, size and times of the last changes, which change with the content."""


def state_of(path: Path) -> FileState:
    """The state of a file.

    Raises:
        OSError: it cannot be seen, or is not there.
    """
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Remembered(Generic[T]):
    """What was read from files, each of which is read again only where it has changed since.

    Nothing is forgotten, so that what is kept of a file should be small.

    A change may go unseen: one in place that keeps the size, within a tick of the file system's
    clock, or for some seconds one by another client of a network file system. What is kept must be
    harmless when it is out of date, or be checked on use, as a digest is against the content when
    that is loaded.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[FileState, T]] = {}

    def of(self, path: Path, read: Callable[[], T]) -> T:
        """What the file holds.

        Args:
            path: file.
            read: function that reads it; where it raises, nothing is remembered.

        Raises:
            OSError: there is no such file.
        """
        # The state comes first, so that a change during the reading is seen the next time.
        state = state_of(path)
        known = self._known.get(str(path))
        if known is not None and known[0] == state:
            return known[1]

        value = read()
        self._known[str(path)] = (state, value)
        return value
