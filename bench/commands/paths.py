"""Checks of the files and folders that the user names, before anything is read or written."""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import RequestError
from bench.store.reading import MOST_TEXT, Unreadable, check_regular
from bench.text import one_line

_LONGEST_FILE_NAME = 255
"""Length in bytes of the longest name of a file or folder."""


def checked_folder(option: str, path: Path) -> Path:
    """The path of a folder, with `~` replaced; the folder need not exist.

    Args:
        option: option, argument or environment variable that names it, for the message.
        path: path as given.

    Raises:
        RequestError: there cannot be such a path, it cannot be reached, or it is no folder.
    """
    path = _checked_path(option, path)
    try:
        is_folder = path.is_dir()
        exists = is_folder or path.exists()
    except OSError as error:
        raise _unusable(option, path, error.strerror or str(error)) from None

    if exists and not is_folder:
        raise _unusable(option, path, "it is a file, not a folder")
    return path


def checked_file(option: str, path: Path) -> Path:
    """The path of a file of text, with `~` replaced; the file need not exist.

    Args:
        option: option or argument that names it, for the message.
        path: path as given.

    Raises:
        RequestError: there cannot be such a path, it cannot be reached, or it is no regular file
            of a sensible size.
    """
    path = _checked_path(option, path)
    try:
        check_regular(path, MOST_TEXT)
    except (FileNotFoundError, NotADirectoryError):
        return path  # the reader of the file reports what is missing
    except Unreadable as error:
        raise _unusable(option, path, str(error)) from None
    except OSError as error:
        raise _unusable(option, path, error.strerror or str(error)) from None

    return path


def _checked_path(option: str, path: Path) -> Path:
    """The path with `~` expanded, which the system accepts and may look up.

    Whether something is there is not checked.

    Raises:
        RequestError: the path names the home folder of an unknown user, is too long, has characters
            that no name of a file has, or leads through a file or a folder that may not be entered.
    """
    try:
        expanded = path.expanduser()
    except RuntimeError:
        raise _unusable(option, path, "there is no such home folder") from None

    try:
        _check_names(expanded)
        expanded.lstat()
    except FileNotFoundError:
        return expanded
    except ValueError as error:
        raise _unusable(option, path, str(error)) from None
    except OSError as error:
        raise _unusable(option, path, error.strerror or str(error)) from None

    return expanded


def _check_names(path: Path) -> None:
    """Check the length of each name, also below folders that do not exist yet.

    Raises:
        ValueError: a name is too long, or cannot be encoded.
    """
    for part in path.parts:
        length = len(os.fsencode(part))
        if length > _LONGEST_FILE_NAME:
            raise ValueError(f"a name has {length} bytes, more than {_LONGEST_FILE_NAME}")


def _unusable(option: str, path: Path, reason: str) -> RequestError:
    return RequestError(f"{option} {one_line(str(path))}: {one_line(reason)}")
