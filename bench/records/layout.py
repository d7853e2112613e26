"""The layout of a run's folder: which names and kinds of files it may hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bench.errors import RequestError
from bench.records.damage import reason_of
from bench.store.atomic import is_partial
from bench.store.reading import Unreadable, check_regular
from bench.text import one_line

_KEY_DIGITS = 16
"""Number of digits of a content key that name a file."""

_LARGEST = 2**62
"""A size in bytes that no file exceeds: each reader has a limit of its own."""

FILE_NAMES = {
    "cells": re.compile(r"[0-9a-f]{16}\.(json|safetensors)"),
    "environments": re.compile(r"[0-9a-f]{12}\.json"),
    "images": re.compile(r"[0-9a-f]{16}\.safetensors"),
    "latency": re.compile(r"[0-9a-f]{16}\.json"),
}
"""Names of the raw files in each folder of a run."""


def file_name(key: str, ending: str) -> str:
    """The name of the file of a content key."""
    return f"{key[:_KEY_DIGITS]}.{ending}"


def raw_files(run: Path, folder: str, ending: str) -> list[Path]:
    """The raw files in a folder of a run, sorted; hidden files are ignored.

    Raises:
        RequestError: the folder holds something else.
    """
    return [path for path in _checked(run, folder) if path.suffix == f".{ending}"]


def holds_other_files(path: Path) -> bool:
    """Whether the path holds more than temporary files of a run that was killed at its start.

    Raises:
        OSError: it cannot be listed.
    """
    if not path.exists():
        return False
    return not path.is_dir() or any(not is_partial(entry) for entry in path.iterdir())


def check_layout(run: Path) -> None:
    """Check the names and kinds of all raw files of a run; none is opened.

    Raises:
        RequestError: there is a file of another name, or something that is not a file.
    """
    for folder in FILE_NAMES:
        list(_checked(run, folder))


def check_writable(run: Path) -> None:
    """Check that no file of a run would be written through a link.

    Raises:
        RequestError: a folder or a file is a link.
    """
    for folder in FILE_NAMES:
        for path in [run / folder, *_entries(run, folder)]:
            if path.is_symlink():
                raise RequestError(
                    f"{path} is a link, and nothing is written through one: put what it leads to "
                    "in its place"
                )


def _checked(run: Path, folder: str) -> Iterator[Path]:
    """The raw files in a folder of a run, each checked."""
    for path in _entries(run, folder):
        if not FILE_NAMES[folder].fullmatch(path.name):
            raise RequestError(
                f"{path.parent}/{one_line(path.name)} is not a file of a run: move it elsewhere"
            )
        try:
            check_regular(path, _LARGEST)
        except (Unreadable, OSError) as fault:
            raise RequestError(f"{path}: {reason_of(fault)}: move it elsewhere") from None
        yield path


def _entries(run: Path, folder: str) -> list[Path]:
    """What a folder of a run holds, sorted; hidden files and temporary ones are left out."""
    parent = run / folder
    try:
        return sorted(path for path in parent.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RequestError(f"{parent} cannot be listed: {reason_of(error)}") from None
