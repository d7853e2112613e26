"""Bounded reading of files that may come from anywhere.

Only regular files are read, up to a stated size and depth: no pipe, device or folder, and no file
of gigabytes.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

MEBIBYTE = 2**20

MOST_TEXT = 16 * MEBIBYTE
"""Largest size in bytes of a file of text."""

MOST_SETTINGS = MEBIBYTE // 4
"""Largest size in bytes of a file of settings that a person writes."""

_DEEPEST_KEY = 32
"""Number of parts of a dotted TOML key from which it is refused: their cost grows quadratically."""

_KEY = r"(?:(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_DEEP_KEY = re.compile(rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY}){{{_DEEPEST_KEY}}}")


class Unreadable(ValueError):
    """A file that is not a regular one, too large, or not in its format; the text says which."""


def check_regular(path: Path, most: int) -> int:
    """The size in bytes of a regular file, before foreign code opens it.

    Args:
        path: file to check; a link is followed.
        most: largest size in bytes that is allowed.

    Raises:
        FileNotFoundError: there is no such file.
        Unreadable: it is not a regular file, or is larger.
        OSError: its description cannot be read.
    """
    return _checked(path.stat(), most)


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file.

    Args:
        path: file to read; a link is followed.
        most: largest size in bytes that is allowed.

    Raises:
        FileNotFoundError: there is no such file.
        Unreadable: it is not a regular file, or is larger.
        OSError: it cannot be read.
    """
    # Without this flag, opening a pipe waits for someone to write to it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        _checked(os.fstat(descriptor), most)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(descriptor)

    if len(content) > most:  # it has grown
        raise Unreadable(_too_large(len(content), most))
    return content


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """The content of a regular file in UTF-8; arguments and errors as in `read_bytes`."""
    try:
        return read_bytes(path, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"it is not UTF-8: {error.reason}") from None


def read_json(path: Path, most: int = MOST_TEXT) -> Any:
    """The value in a JSON file; arguments and errors as in `read_bytes`.

    A number that is not finite and a key that stands twice in an object are refused.
    """
    return parse_json(read_text(path, most))


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        Unreadable: the text is not JSON, is nested too deeply, or has a number that is not finite
            or a key that stands twice in an object.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refused_constant,
            parse_float=_finite_float,
        )
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(f"it is not JSON: {error}") from None


def read_toml(path: Path, most: int = MOST_SETTINGS) -> dict[str, Any]:
    """The content of a TOML file; arguments and errors as in `read_bytes`."""
    text = read_text(path, most)
    if _DEEP_KEY.search(text):
        raise Unreadable(f"a key has more than {_DEEPEST_KEY} parts")

    try:
        return tomllib.loads(text)
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValueError as error:
        raise Unreadable(f"it is not valid TOML: {error}") from None


def _checked(status: os.stat_result, most: int) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(f"it is {_kind(status.st_mode)}, not a regular file")
    if status.st_size > most:
        raise Unreadable(_too_large(status.st_size, most))
    return status.st_size


def _too_large(size: int, most: int) -> str:
    return f"it has {size} bytes, more than the {most} that are read"


def _kind(mode: int) -> str:
    """The kind of something that is not a regular file, with its article."""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise Unreadable("a key stands twice in an object")
    return content


def _refused_constant(name: str) -> float:
    raise Unreadable(f"it has a number that is not finite, {name}")


def _finite_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        _refused_constant(text[:20])
    return value
