"""Folders of temporary files of processes that may be killed, which leave them behind."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32


def new_folder(purpose: str, parent: Path | None = None) -> Path:
    """A new folder of this process; those of processes that have ended are removed.

    Its name says whose it is. Where several machines share the parent, each removes its own.

    Args:
        purpose: beginning of the name. Folders of other purposes stay.
        parent: folder in which it lies; None for that of temporary files.
    """
    place, prefix = parent or Path(tempfile.gettempdir()), _prefix(purpose)
    for folder in folders_here(purpose, place):
        if not _is_running(folder.name.removeprefix(prefix).partition("-")[0]):
            shutil.rmtree(folder, ignore_errors=True)

    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=place))


def folders_here(purpose: str, parent: Path | None = None) -> Iterator[Path]:
    """The folders that processes of this machine have made; the arguments as in `new_folder`."""
    return (parent or Path(tempfile.gettempdir())).glob(f"{_prefix(purpose)}*")


def remove_folders(purpose: str, mark: str) -> None:
    """Remove the folders of temporary files of this machine in which a file lies.

    Args:
        purpose: beginning of their names.
        mark: name of the file.
    """
    for folder in folders_here(purpose):
        if (folder / mark).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _prefix(purpose: str) -> str:
    """Beginning of the names of folders on this machine."""
    host = f"{crc32(platform.node().encode('utf-8', 'replace')):08x}"
    return f"{purpose}-{host}-"


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:  # it is another user's
        return True
    return True
