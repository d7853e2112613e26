"""Uncaught exceptions as one line for the user, with the remedy where it is known."""

from __future__ import annotations

import errno

from bench.text import one_line

_UNLOADABLE = ("failed to map segment", "cannot allocate memory")
"""Parts of the messages with which a shared library cannot be loaded for lack of memory."""


def described(error: BaseException) -> str:
    """One line on an exception that nothing caught: what happened, and what to do if it is known.

    Args:
        error: exception of any kind, also `SystemExit`.
    """
    message = one_line(_message_of(error))
    if _is_out_of_memory(error):
        cause = one_line(_with_type(error, message), 100)
        return (
            f"memory is used up ({cause}): raise the limit that `ulimit -v` shows, or try a "
            "smaller --batch-size"
        )
    if isinstance(error, ModuleNotFoundError):
        return f"{message}: the installation is not complete, install purification-bench again"
    if isinstance(error, SystemExit):
        return f"code that the command ran tried to end it (SystemExit: {message or 0})"
    if isinstance(error, OSError) and error.strerror:
        where = one_line(str(error.filename)) if error.filename else "input or output failed"
        return f"{where}: {error.strerror}"

    return f"unexpected {_with_type(error, message)}; `bench --traceback` shows where"


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, ImportError):
        return any(part in _message_of(error).lower() for part in _UNLOADABLE)
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM

    return isinstance(error, MemoryError)


def _message_of(error: BaseException) -> str:
    """The message of an exception, whose own method may raise too."""
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - a fault in the report of a fault
        return f"(its message cannot be shown: {type(second).__name__})"


def _with_type(error: BaseException, message: str) -> str:
    name = one_line(type(error).__name__, 60)
    return f"{name}: {message}" if message else name
