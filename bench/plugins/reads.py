"""A record of the files that Python code opens for reading, made with an audit hook.

Files that other languages open by themselves, such as the reader of safetensors, are not seen.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from bench.plugins.origins import is_outside

_WRITES = os.O_WRONLY | os.O_RDWR
"""Flags of a file that is opened for more than reading."""

_OPEN_SOURCE = tokenize.open.__code__
"""Code that opens sources to show lines of them, as PyTorch does of all callers when it is seeded.

Who calls is no data of a plugin, and another in each process.
"""


# Compared by identity, so that the end of one recording never removes another that is equal.
@dataclass(eq=False)
class Reads:
    """The files that were opened while a block ran.

    Attributes:
        by_reader: files that are the user's, in the order of their first opening, by the file of
            the code that opened them; None stands for code that is not the user's.
        written: files that were opened for writing, whose content is the block's own.
    """

    by_reader: dict[Path | None, dict[Path, None]] = field(default_factory=dict)
    written: set[Path] = field(default_factory=set)

    def by(self, reader: Path) -> list[Path]:
        """The files that the code of one file opened, without those that the block has written."""
        opened = self.by_reader.get(reader, {})
        return [path for path in opened if path not in self.written]

    def all(self) -> list[Path]:
        """All files that were opened, without those that the block has written."""
        opened = {path: None for files in self.by_reader.values() for path in files}
        return [path for path in opened if path not in self.written]


_active: list[Reads] = []


@contextmanager
def recorded(into: Reads | None = None) -> Iterator[Reads]:
    """Record the files that are opened in the block.

    Args:
        into: record that is continued; None for a new one.
    """
    _install()
    reads = Reads() if into is None else into
    _active.append(reads)
    try:
        yield reads
    finally:
        _active.remove(reads)


@cache
def _install() -> None:
    """Install the audit hook, which Python cannot remove again."""
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _active:
        return
    # An exception here would make the opening of the file fail.
    with suppress(Exception):
        _add(arguments, sys._getframe(1))


def _add(arguments: tuple[Any, ...], frame: FrameType | None) -> None:
    opened, _mode, flags = arguments
    if isinstance(opened, int):  # a file that is open already
        return
    if frame is not None and frame.f_code is _OPEN_SOURCE:
        return

    path = _source(Path(os.fsdecode(opened)).absolute())
    if isinstance(flags, int) and flags & _WRITES:
        for reads in _active:
            reads.written.add(path)
    elif is_outside(path):
        reader, while_importing = _reader(frame)
        # A library may read its settings when it is imported; these are no data of the plugin.
        if path.suffix == ".py" or not while_importing:
            for reads in _active:
                reads.by_reader.setdefault(reader, {}).setdefault(path)


def _source(path: Path) -> Path:
    """The source of a file of compiled Python; any other file unchanged."""
    if path.suffix != ".pyc":
        return path
    source = Path(importlib.util.source_from_cache(str(path)))

    return source if source.is_file() else path


def _reader(frame: FrameType | None) -> tuple[Path | None, bool]:
    """The innermost file of the user's code that is running, and whether it is importing."""
    importing = False
    while frame is not None:
        name = frame.f_code.co_filename
        importing = importing or name.startswith("<frozen importlib")
        if is_outside(Path(name)):
            return Path(name), importing
        frame = frame.f_back

    return None, importing
