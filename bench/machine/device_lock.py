"""The lock of a device: tasks share it, a timing has it alone, across all processes of a user."""

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
from bench.machine.devices import device_id

logger = logging.getLogger("bench")

_WAIT = 1.0
"""Seconds between two attempts to take a lock that another process holds."""


@contextmanager
def shared_use(device: torch.device) -> Iterator[None]:
    """Use the device beside other tasks; waits while a process times on it.

    Raises:
        StorageError: the file of the lock cannot be made.
    """
    with _held(device, exclusive=False):
        yield


@contextmanager
def exclusive_use(device: torch.device) -> Iterator[None]:
    """Use the device alone, for timing; waits while another process of this package uses it.

    Raises:
        StorageError: the file of the lock cannot be made.
    """
    with _held(device, exclusive=True):
        yield


@contextmanager
def _held(device: torch.device, *, exclusive: bool) -> Iterator[None]:
    try:
        lock = _lock(device)
        _acquire(lock, exclusive=exclusive)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"cannot lock the device: {error}") from error

    try:
        yield
    finally:
        lock.release()


def _acquire(lock: ReadWriteLock, *, exclusive: bool) -> None:
    acquire = lock.acquire_write if exclusive else lock.acquire_read
    activity = "it uses the device" if exclusive else "it measures latency, or waits to do so"

    # Waiting in short pieces lets a signal such as Ctrl-C interrupt.
    for attempt in count():
        with suppress(Timeout):
            acquire(timeout=_WAIT if attempt else 0)
            return
        if attempt == 0:
            logger.info("waiting for another process: %s", activity)


def _lock(device: torch.device) -> ReadWriteLock:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"purification-bench-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)

    return ReadWriteLock(folder / f"{device_id(device)}.db")
