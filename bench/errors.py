"""The errors of this package, one class for each way in which a run goes on or ends."""

from __future__ import annotations

from collections.abc import Iterable

EXIT_FAILED = 1
EXIT_REQUEST = 2
EXIT_INTERRUPTED = 130


class BenchError(Exception):
    """Base class of the errors that this package raises; the message is one line for the user."""


class RequestError(BenchError):
    """An error in the request: nothing was computed, and the exit code is 2."""


class PluginFault(BenchError):
    """An exception or broken contract of a plugin: the cells that need it fail, the others run."""


class NotApplicable(BenchError):
    """A combination that makes no sense, for the reason given: the cell is skipped, not failed."""


class StorageError(BenchError):
    """A file that could not be read or written (disk full, no permission), or is damaged.

    The run stops, and the results written so far are intact.
    """


class Interrupted(BaseException):
    """An interruption by Ctrl-C or a termination signal.

    It is not an `Exception`, so that no handler of failures catches it.
    """


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The text `; did you mean 'x'?` for the closest allowed name; empty if none is close."""
    import difflib  # this module is loaded before signals are caught, and must load at once

    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


_LONGEST_LIST = 400
"""Number of characters at which the list of allowed names is cut in a message."""


def unknown(what: str, name: str, allowed: Iterable[str]) -> RequestError:
    """The error for an unknown name, with the allowed names and a suggestion.

    Args:
        what: kind of name, such as `attack`, which stands before the name in the message.
        name: name that was given.
        allowed: names that exist.
    """
    from bench.text import LONGEST_NAME, one_line  # loaded when needed, for the reason above

    names = sorted(allowed)
    shown = one_line(name, LONGEST_NAME)
    listed = one_line(", ".join(names), _LONGEST_LIST) or "none"
    choices = f"choose from: {listed}{nearest(name, names)}"

    return RequestError(f"unknown {what} '{shown}' ({choices})")
