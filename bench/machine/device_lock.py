"""Who uses a device: work shares it, timing has it alone, across every process of this user on the machine."""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import torch
from filelock import ReadWriteLock, Timeout

from bench.errors import StorageError
from bench.machine.environment import device_id

logger = logging.getLogger("bench")

_WAIT = 1.0
"""Seconds between two looks at a lock that another holds."""


@contextmanager
def shared_use(device: torch.device) -> Iterator[None]:
    """Use the device beside others, but never while one times; waits for that to end.

    Raises:
        StorageError: the lock's file cannot be made.
    """
    with _held(device, exclusive=False):
        yield


@contextmanager
def exclusive_use(device: torch.device) -> Iterator[None]:
    """Have the device alone, for timing; waits until no other process of this package works on it.

    Raises:
        StorageError: the lock's file cannot be made.
    """
    with _held(device, exclusive=True):
        yield


@contextmanager
def _held(device: torch.device, *, exclusive: bool) -> Iterator[None]:
    what = "it works on the device" if exclusive else "it is timing, or will be next"
    try:
        lock = _lock(device)
        acquire = lock.acquire_write if exclusive else lock.acquire_read
        for attempt in count():
            with suppress(Timeout):
                acquire(timeout=_WAIT if attempt else 0)  # in pieces, so that a signal gets through
                break
            if attempt == 0:
                logger.info("waiting for another process: %s", what)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"cannot lock the device: {error}") from error
    try:
        yield
    finally:
        lock.release()


def _lock(device: torch.device) -> ReadWriteLock:
    folder = (
        Path(tempfile.gettempdir())
        / f"purification-bench-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    )
    folder.mkdir(mode=0o700, exist_ok=True)
    return ReadWriteLock(folder / f"{device_id(device)}.db")
