"""The lock of a device: tasks share it, a timing has it alone, across all processes of a user."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from filelock import ReadWriteLock, Timeout

from bench.errors import StorageError
from bench.machine.devices import device_id
from bench.machine.lock_folders import lock_folders
from bench.store.holders import NOTE_SUFFIX, noted, wait_for


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
        path, lock = _lock(device)
        activity = "it uses the device" if exclusive else "it measures latency, or waits to do so"
        wait_for(
            lambda seconds: _taken(lock, seconds, exclusive=exclusive),
            lambda: _notes(path),
            activity,
        )
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"cannot lock the device: {error}") from error

    if exclusive:
        _remove_notes(path)
    name = f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{NOTE_SUFFIX}"
    try:
        with noted(path.with_name(name)):
            yield
    finally:
        lock.release()


def _taken(lock: ReadWriteLock, seconds: float, *, exclusive: bool) -> bool:
    """Whether the lock was taken within some seconds."""
    acquire = lock.acquire_write if exclusive else lock.acquire_read
    try:
        acquire(timeout=seconds)
    except Timeout:
        return False
    return True


def _lock(device: torch.device) -> tuple[Path, ReadWriteLock]:
    """The file of the device's lock, in the first folder where it works, and the lock."""
    failure: Exception | None = None
    for folder in lock_folders():
        path = folder / f"{device_id(device)}.db"
        try:
            return path, ReadWriteLock(path)
        except (OSError, ValueError, sqlite3.Error) as error:  # no locks on this file system
            failure = error

    raise StorageError(f"cannot lock the device: {failure}") from failure


def _remove_notes(path: Path) -> None:
    """Remove the notes of killed processes; while the lock is held alone, no others are there."""
    for note in _notes(path):
        with suppress(OSError):
            note.unlink()


def _notes(path: Path) -> Iterator[Path]:
    return path.parent.glob(f"{path.name}.*{NOTE_SUFFIX}")
