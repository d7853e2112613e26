"""Folders for the lock of a device, which all processes of a user find and no other user blocks."""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.store.user_folders import user_cache

_NAME = "purification-bench"

_BOOT = Path("/proc/sys/kernel/random/boot_id")
"""File of Linux that identifies a machine from its start to the next one."""

_NAME_DIGITS = 12
"""Number of digits of a machine's name."""

_TRIES = 10
"""Number of names that are tried in the folder of temporary files, where others may take them."""


def lock_folders() -> Iterator[Path]:
    """Folders in which a lock may be made, the best first; each exists, and this user owns it.

    They are the user's runtime folder (`XDG_RUNTIME_DIR`), one of this machine in the cache folder,
    which machines may share, then private folders in the system's folder of temporary files. The
    last is new, so that there is always one.
    """
    for candidate in _candidates():
        if _is_own(candidate):
            yield candidate

    yield Path(tempfile.mkdtemp(prefix=f"{_NAME}-"))


def _candidates() -> Iterator[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if Path(runtime).is_absolute() and _belongs_to_user(Path(runtime).resolve()):
        yield Path(runtime) / _NAME

    cache = user_cache()
    if cache is not None:
        yield cache / "locks" / _machine()

    temporary, user = Path(tempfile.gettempdir()), _user()
    for number in range(_TRIES):
        yield temporary / f"{_NAME}-{user}{f'-{number}' if number else ''}"


def _machine() -> str:
    """A name that no other machine has, the same in all containers of this one."""
    try:
        text = _BOOT.read_text()
    except OSError:  # not Linux
        text = platform.node()

    return hashlib.sha256(text.encode()).hexdigest()[:_NAME_DIGITS]


def _is_own(folder: Path) -> bool:
    """Whether a folder, made if need be, belongs to this user, who may write to it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False

    # A folder that others may write to could hold anything by now.
    is_closed = not folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return _belongs_to_user(folder) and is_closed and os.access(folder, os.W_OK | os.X_OK)


def _belongs_to_user(folder: Path) -> bool:
    """Whether a path is a folder of this user and no link."""
    try:
        status = folder.lstat()
    except OSError:
        return False

    return stat.S_ISDIR(status.st_mode) and status.st_uid == _user()


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0
