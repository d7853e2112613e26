"""The errors the harness tells apart, because each ends a run differently."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Base of every error this package raises on purpose; its text is one line for a person."""


class RequestError(BenchError):
    """The request is wrong: nothing was computed, exit code 2."""


class PluginFault(BenchError):
    """A plugin raised, or broke its contract: the cells that need it fail, the others go on."""


class NotApplicable(BenchError):
    """What was asked makes no sense here, for the reason given: the cell is skipped, which is no failure."""


class StorageError(BenchError):
    """A file could not be written (disk full, no permission): the run stops, earlier results are intact."""


class Interrupted(BaseException):
    """Ctrl-C or a termination signal.

    Not an `Exception`, so that nothing on the way mistakes it for a failure.
    """


def nearest(name: str, allowed: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest allowed name, or nothing."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def unknown(what: str, name: str, allowed: Iterable[str]) -> RequestError:
    """The error for a name that is not one of the allowed ones."""
    names = sorted(allowed)
    return RequestError(
        f"unknown {what} '{name}' (choose from: {', '.join(names) or 'none'}{nearest(name, names)})"
    )
