"""A tree of output files: nothing is written outside its root, and nothing through a link."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import StorageError
from bench.store.atomic import write_bytes
from bench.text import LONGEST_NAME, one_line

LONGEST_STEM = 120
"""Number of characters at which the stem of a file's name is cut."""

_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9.=_-]+")
_NAME = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9.=_-]{0,199}")


def file_stem(text: str) -> str:
    """The text as the stem of a file's name, of safe characters and bounded length.

    Other characters become `-`. A text that is cut ends in a digest of the full text, so that two
    long texts do not share a file.
    """
    stem = _NOT_IN_FILE_NAMES.sub("-", text).lstrip(".") or "-"
    if len(stem) <= LONGEST_STEM:
        return stem

    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{stem[: LONGEST_STEM - 13]}-{digest}"


@dataclass(frozen=True)
class Tree:
    """The files below one folder.

    The root itself may be a link, since the user names it. A link below it may come from a
    stranger, who would have files written elsewhere.

    Attributes:
        root: folder that every file lies below.
    """

    root: Path

    def path(self, *parts: str) -> Path:
        """The path of a file or folder below the root, whether it exists or not.

        Args:
            parts: names of the folders and of the file, made of letters, digits, `.`, `=`, `_`
                and `-`.

        Raises:
            StorageError: a part is not such a name, or the path leads through a link.
        """
        path = self.root
        for part in parts:
            if not _NAME.fullmatch(part):
                raise StorageError(
                    f"'{one_line(part, LONGEST_NAME)}' is not the name of a file below {self.root}"
                )
            path = path / part
            if path.is_symlink():
                raise StorageError(
                    f"{path} is a link, and nothing is written through one: put what it leads to "
                    "in its place"
                )

        return path

    def write_bytes(self, *parts: str, data: bytes) -> None:
        """Write a file atomically, see `bench.store.atomic.write_bytes`.

        Raises:
            StorageError: the path is refused, see `path`, or the file could not be written.
        """
        write_bytes(self.path(*parts), data)

    def write_text(self, *parts: str, text: str) -> None:
        """Write a text file in UTF-8, as `write_bytes` does."""
        self.write_bytes(*parts, data=text.encode("utf-8", "backslashreplace"))

    def write_json(self, *parts: str, content: Mapping[str, Any]) -> None:
        """Write a JSON object, indented, as `write_bytes` does.

        Raises:
            ValueError: the content holds NaN or an infinite number.
            StorageError: the path is refused, or the file could not be written.
        """
        text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False)
        self.write_text(*parts, text=text + "\n")
