"""Who uses a device: work shares it, timing has it alone, across every process of this user on the machine."""

from __future__ import annotations

import getpass
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import ReadWriteLock, Timeout

from bench.errors import StorageError

logger = logging.getLogger("bench")


@contextmanager
def working(device: torch.device) -> Iterator[None]:
    """Use the device beside others, but never while one times; waits for that to end.

    Raises:
        StorageError: the lock's file cannot be made.
    """
    with _held(device, alone=False):
        yield


@contextmanager
def alone(device: torch.device) -> Iterator[None]:
    """Have the device alone, for timing; waits until no other process of this package works on it.

    Raises:
        StorageError: the lock's file cannot be made.
    """
    with _held(device, alone=True):
        yield


@contextmanager
def _held(device: torch.device, *, alone: bool) -> Iterator[None]:
    lock = _lock(device)
    acquire = lock.acquire_write if alone else lock.acquire_read
    try:
        acquire(blocking=False)
    except Timeout:
        logger.info("waiting for another process: %s", "work on the device" if alone else "it is timing")
        acquire()
    try:
        yield
    finally:
        lock.release()


def _lock(device: torch.device) -> ReadWriteLock:
    folder = Path(tempfile.gettempdir()) / f"purification-bench-{getpass.getuser()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        return ReadWriteLock(folder / f"{str(device).replace(':', '')}.db")
    except OSError as error:
        raise StorageError(f"cannot lock the device in {folder}: {error.strerror or error}") from error
