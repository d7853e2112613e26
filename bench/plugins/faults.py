"""Faults of plugins: everything that the code of a plugin raises, as one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.errors import (
    BenchError,
    Interrupted,
    NotApplicable,
    PluginFault,
    RequestError,
    StorageError,
)
from bench.text import one_line

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""Parts of the messages with which libraries report that memory is used up."""


@contextmanager
def plugin_call(description: str) -> Iterator[None]:
    """Turn anything that a plugin raises in the block into a `PluginFault` that names it.

    An interruption by the user passes; `SystemExit` does not, because a plugin that ends the
    process would end it with the exit code of a success.

    Args:
        description: name of the plugin in the message, such as `attack pgd`.
    """
    try:
        yield
    except (PluginFault, StorageError, NotApplicable, Interrupted, KeyboardInterrupt):
        raise
    except GeneratorExit:  # the harness closes a generator of its own
        raise
    except BaseException as error:
        raise PluginFault(f"{description} {raised(error)}") from error


@contextmanager
def plugin_request(description: str) -> Iterator[None]:
    """Turn anything that a plugin raises while a request is checked into a `RequestError`.

    Args:
        description: name of the plugin in the message, such as `defense 'convae'`.
    """
    try:
        yield
    except (BenchError, Interrupted, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise RequestError(f"{description} {raised(error)}") from error


def raised(error: BaseException) -> str:
    """The text `raised TYPE: message` in one line, with the remedy where memory was used up."""
    message = one_line(_message(error)) or "(no message)"
    remedy = "; try a smaller --batch-size" if _is_out_of_memory(error, message) else ""

    return f"raised {type(error).__name__}: {message}{remedy}"


def _message(error: BaseException) -> str:
    """The message of an exception, whose own method may raise too."""
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - a fault in the report of a fault
        return f"(its message cannot be shown: {type(second).__name__})"


def _is_out_of_memory(error: BaseException, message: str) -> bool:
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or any(part in message.lower() for part in _OUT_OF_MEMORY)
