"""Exceptions of any kind as one line for the user, with the remedy where it is known."""

from __future__ import annotations

import errno
import logging
import re

from bench import memory
from bench.errors import Interrupted
from bench.text import LONGEST_LINE, LONGEST_NAME, one_line

_LONGEST_READ = 100_000
"""Number of characters of a message that are read."""

_UNLOADABLE = ("failed to map segment", "cannot allocate memory")
"""Parts of the messages with which a shared library cannot be loaded for lack of memory."""

_MORE_MEMORY = "raise the limit that `ulimit -v` shows, or try a smaller --batch-size"

_OUT_OF_HOST_MEMORY = re.compile(
    r"DefaultCPUAllocator: (?:can't allocate|not enough) memory|\bCannot allocate memory \(12\)"
)
"""Messages of a `RuntimeError` with which PyTorch and its libraries report used-up memory."""

_OUT_OF_DEVICE_MEMORY = re.compile(
    r"\b(?:CUDA|HIP|MPS|XPU)\b[\w :]{0,20}\bout of memory\b|\bCU\w+_STATUS_ALLOC_FAILED\b"
)
"""The same for the memory of a device other than the CPU."""

_MOST_CAUSES = 100
"""Number of causes of an exception that are looked at."""

_WITHOUT_GRADIENT = re.compile(
    r"does not require grad and does not have a grad_fn"
    r"|differentiated Tensors does not require grad"
)
"""Messages of a `RuntimeError` with which PyTorch refuses a tensor that is not in the graph."""

tracebacks = logging.getLogger("bench.traceback")
"""Log of the exceptions that are shown as one line, with their tracebacks, for `--traceback`."""


def described(error: BaseException) -> str:
    """One line on an exception that nothing caught: what happened, and what to do if it is known.

    Args:
        error: exception of any kind, also `SystemExit`.
    """
    line = message_line(error)
    if is_out_of_memory(error):
        return f"memory is used up ({one_line(named(error), LONGEST_NAME)}): {_MORE_MEMORY}"
    if isinstance(error, SystemExit):
        return f"code that the command ran tried to end it (SystemExit: {line or 0})"
    if isinstance(error, OSError) and one_line(str(error.strerror or "")):
        where = one_line(str(error.filename or "")) or "input or output failed"
        return f"{where}: {one_line(str(error.strerror))}"
    if memory.is_short():  # then anything may fail, and in any way
        left = f"less than {memory.SPARE_MEGABYTES} MB of memory are left"
        return f"{left} ({one_line(named(error), LONGEST_NAME)}): {_MORE_MEMORY}"
    if isinstance(error, ModuleNotFoundError):
        return f"{line}: the installation is not complete, install purification-bench again"

    return f"unexpected {named(error)}; `bench --traceback` shows where"


def named(error: BaseException) -> str:
    """The type and the message of an exception in one line."""
    name = one_line(type(error).__name__, LONGEST_NAME)
    line = message_line(error)

    return f"{name}: {line}" if line else name


def input_reason(error: ValueError | OSError) -> str:
    """What is wrong with a file or an argument, in one line, from an error that was raised for it.

    Args:
        error: exception of a plugin that says by its contract what the user can mend.
    """
    if isinstance(error, OSError) and error.filename is not None:
        return one_line(f"cannot read {error.filename}: {error.strerror}", LONGEST_LINE)
    return one_line(message_of(error), LONGEST_LINE)


def message_line(error: BaseException) -> str:
    """The message of an exception in one line; empty if it has none."""
    return one_line(message_of(error))


def message_of(error: BaseException) -> str:
    """The beginning of the message of an exception, whose own method may raise too."""
    try:
        return str(error)[:_LONGEST_READ]
    except Interrupted:
        raise
    except BaseException as second:  # noqa: BLE001 - a fault in the report of a fault
        return f"(its message cannot be shown: {type(second).__name__})"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception reports that the memory of the host or of the device is used up."""
    if isinstance(error, ImportError):
        return any(part in message_of(error).lower() for part in _UNLOADABLE)
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError):
        is_host = bool(_OUT_OF_HOST_MEMORY.search(message_of(error)))
        return is_host or _is_out_of_device_memory(error)

    return isinstance(error, MemoryError)


def device_memory_error(error: BaseException) -> BaseException | None:
    """The error of a device's used-up memory that an exception is, or comes from; None for none.

    Args:
        error: exception of any kind; those that it was raised from are looked at too.
    """
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None or _is_out_of_device_memory(cause):
            return cause
        cause = cause.__cause__

    return None


def _is_out_of_device_memory(error: BaseException) -> bool:
    """Whether an exception reports that the memory of a device other than the CPU is used up."""
    if not isinstance(error, RuntimeError):
        return False
    # Most of these errors have no type of their own. The one that has is found by its name,
    # because this module is free of torch.
    is_named = type(error).__name__ == "OutOfMemoryError"
    return is_named or bool(_OUT_OF_DEVICE_MEMORY.search(message_of(error)))


def is_without_gradient(error: BaseException) -> bool:
    """Whether an exception reports that a gradient was asked of a tensor that has none."""
    return isinstance(error, RuntimeError) and bool(_WITHOUT_GRADIENT.search(message_of(error)))
