"""Everything that Python code can raise, by name, and what a line about it must look like."""

from __future__ import annotations

import signal
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import numpy as np
import torch

from bench.errors import Interrupted

_OBEYED = ("Cc", "Cs", "Zl", "Zp")
"""Categories of control characters, half characters and line breaks."""

_DIRECTION = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

LONGEST = 600
"""Number of characters that no line about a fault of a plugin exceeds."""


class Unprintable(Exception):
    """An exception whose message cannot be had."""

    def __str__(self) -> str:
        raise ValueError("not even this")


class Leaving(Exception):
    """An exception whose message ends the process."""

    def __str__(self) -> str:
        sys.exit(0)


def _deep(depth: int = 0) -> int:
    return _deep(depth + 1) + 1


def _raise(error: BaseException) -> NoReturn:
    raise error


KINDS = {
    "plain": lambda: _raise(ValueError("no such luck")),
    "empty": lambda: _raise(AssertionError()),
    "exit_0": lambda: sys.exit(0),
    "exit_none": lambda: sys.exit(),
    "exit_1": lambda: sys.exit(1),
    "exit_text": lambda: sys.exit("good bye"),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "generator_exit": lambda: _raise(GeneratorExit()),
    "stop_iteration": lambda: _raise(StopIteration()),
    "group": lambda: _raise(ExceptionGroup("several", [ValueError("one"), KeyError("two")])),
    "exit_group": lambda: _raise(BaseExceptionGroup("several", [SystemExit(0)])),
    "huge": lambda: _raise(RuntimeError("many words " * 100_000)),
    "one_word": lambda: _raise(RuntimeError("x" * 1_000_000)),
    "lines": lambda: _raise(RuntimeError("\n".join(["Traceback (most recent call last):"] * 50))),
    "escapes": lambda: _raise(RuntimeError("\x1b[31mred\x1b]0;title\x07 \x9b2J\u202e\r\x00end")),
    "type_name": lambda: _raise(type("\x1b[31m" + "Long" * 5_000, (Exception,), {})("short")),
    "unprintable": lambda: _raise(Unprintable()),
    "leaving": lambda: _raise(Leaving()),
    "recursion": _deep,
    "memory": lambda: _raise(MemoryError()),
    "torch_memory": lambda: torch.empty(10**15),
    "numpy_memory": lambda: np.empty(10**15),
    "cuda_memory": lambda: _raise(torch.OutOfMemoryError("CUDA out of memory. Tried to ...")),
    "memory_group": lambda: _raise(ExceptionGroup("several", [MemoryError()])),
}
"""What a plugin may raise, by name."""

MEMORY = [name for name in KINDS if "memory" in name]
"""The kinds that report that memory is used up."""


def raise_fault(kind: str) -> None:
    """Raise what the kind is called."""
    KINDS[kind]()


@contextmanager
def as_under_the_command_line() -> Iterator[None]:
    """Handle Ctrl-C as the command line does, so that a `KeyboardInterrupt` is the plugin's."""

    def interrupt(*_: object) -> NoReturn:
        raise Interrupted

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def assert_clean(text: str) -> None:
    """Assert that a message is one line of bounded length that no terminal obeys."""
    obeyed = {character for character in text if unicodedata.category(character) in _OBEYED}
    assert not obeyed | _DIRECTION & set(text), ascii(text)
    assert len(text) <= LONGEST, len(text)
    assert "Traceback (most" not in text[:40]
