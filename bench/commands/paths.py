"""Checks of the files and folders that options name, before anything is read or written."""

from __future__ import annotations

from pathlib import Path

from bench.commands.folders import checked_path
from bench.errors import RequestError
from bench.store.reading import MOST_TEXT, Unreadable, check_regular
from bench.text import one_line


def checked_folder(option: str, path: Path) -> Path:
    """The path of a folder, with `~` replaced; the folder need not exist.

    Args:
        option: option or argument that named it, for the message.
        path: path as given.

    Raises:
        RequestError: there cannot be such a path, it cannot be reached, or it is no folder.
    """
    path = checked_path(option, path)
    try:
        is_folder = path.is_dir()
        exists = is_folder or path.exists()
    except OSError as error:
        raise _refused(option, path, error) from None

    if exists and not is_folder:
        raise RequestError(f"{option} {_shown(path)}: it is a file, not a folder")
    return path


def checked_file(option: str, path: Path) -> Path:
    """The path of a file of text, with `~` replaced; the file need not exist.

    Args:
        option: option or argument that named it, for the message.
        path: path as given.

    Raises:
        RequestError: there cannot be such a path, it cannot be reached, or it is no regular file
            of a sensible size.
    """
    path = checked_path(option, path)
    try:
        check_regular(path, MOST_TEXT)
    except (FileNotFoundError, NotADirectoryError):
        return path  # who reads the file says what is missing
    except Unreadable as error:
        raise RequestError(f"{option} {_shown(path)}: {error}") from None
    except OSError as error:
        raise _refused(option, path, error) from None

    return path


def _refused(option: str, path: Path, error: OSError) -> RequestError:
    return RequestError(f"{option} {_shown(path)}: {error.strerror or error}")


def _shown(path: Path) -> str:
    return one_line(str(path))
