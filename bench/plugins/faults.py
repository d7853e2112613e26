"""Faults of plugins: everything that the code of a plugin raises, as one clear line."""

from __future__ import annotations

import signal
import traceback
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
from bench.failures import (
    is_out_of_memory,
    is_without_gradient,
    message_line,
    message_of,
    named,
    tracebacks,
)
from bench.plugins.process_state import kept_process_state
from bench.text import LONGEST_LINE, one_line

_MOST_MEMBERS = 100
"""Number of exceptions of a group that are looked at."""

_SMALLER = "; try a smaller --batch-size, or in training a smaller batch_size of the plugin"

_ENABLE_GRAD = (
    "; a module is called under torch.no_grad() and with frozen weights, so gradient steps in it "
    "need `with torch.enable_grad():` and a tensor with requires_grad_()"
)


@contextmanager
def plugin_call(description: str) -> Iterator[None]:
    """Turn anything that a plugin raises in the block into a `PluginFault` that names it.

    An interruption by the user passes. `SystemExit` does not, because a plugin that ends the
    process would end it with the exit code of a success. Neither does a `KeyboardInterrupt` of the
    plugin's own: under the command line, Ctrl-C raises `Interrupted`.

    Settings of the process that the plugin changes are restored, see `kept_process_state`.

    Args:
        description: name of the plugin in the message, such as `attack pgd`.
    """
    try:
        with kept_process_state():
            yield
    except (Interrupted, StorageError):
        raise
    except PluginFault as error:
        if _is_clean(error):
            raise
        raise PluginFault(_logged_line(error)) from error
    except NotApplicable as error:
        raise NotApplicable(_logged_line(error)) from error
    except BaseException as error:
        if _is_by_user(error):
            raise
        raise PluginFault(f"{description} {raised(error)}") from error


@contextmanager
def plugin_request(description: str) -> Iterator[None]:
    """Turn anything that a plugin raises while a request is checked into a `RequestError`.

    The same passes, and is restored, as in `plugin_call`.

    Args:
        description: name of the plugin in the message, such as `defense 'convae'`.
    """
    try:
        with kept_process_state():
            yield
    except Interrupted:
        raise
    except BenchError as error:
        if _is_clean(error):
            raise
        raise RequestError(_logged_line(error)) from error
    except BaseException as error:
        if _is_by_user(error):
            raise
        raise RequestError(f"{description} {raised(error)}") from error


def raised(error: BaseException) -> str:
    """The text `raised TYPE: message` in one line, with the remedy where it is known.

    The exception is logged with its traceback. Where memory was used up, the variables of the
    frames that it left are released, since the exception would keep them.
    """
    members = _with_members(error)
    first = f", first {named(members[1])}" if len(members) > 1 else ""
    text = f"raised {named(error)}{first}"
    _log(error)

    if any(map(is_without_gradient, members)):
        return text + _ENABLE_GRAD
    if not any(map(is_out_of_memory, members)):
        return text
    for member in members:
        traceback.clear_frames(member.__traceback__)
    return text + _SMALLER


def _log(error: BaseException) -> None:
    tracebacks.debug("shown as one line: %s", named(error), exc_info=error)


def _logged_line(error: BaseException) -> str:
    """The message of an exception in one line; the exception is logged with its traceback."""
    _log(error)
    return message_line(error) or "(no message)"


def _is_clean(error: BaseException) -> bool:
    """Whether the message can be shown as it is."""
    message = message_of(error)
    return one_line(message, LONGEST_LINE) == message


def _is_by_user(error: BaseException) -> bool:
    """Whether an exception is Ctrl-C, as Python reports it where no handler was installed."""
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, KeyboardInterrupt) and is_default


def _with_members(error: BaseException) -> list[BaseException]:
    """The exception, followed by those of a group in their order, however deep they are."""
    members = [error]
    for member in members:
        if isinstance(member, BaseExceptionGroup) and len(members) < _MOST_MEMBERS:
            members.extend(member.exceptions)

    return members
