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

from bench.environment import physical
from bench.errors import StorageError

logger = logging.getLogger("bench")

_WAIT = 1.0
"""Seconds between two looks at a lock that another holds."""


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
    what = "it works on the device" if alone else "it is timing, or will be next"
    try:
        lock = _lock(device)
        acquire = lock.acquire_write if alone else lock.acquire_read
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
    folder = Path(tempfile.gettempdir()) / f"purification-bench-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return ReadWriteLock(folder / f"{physical(device)}.db")
