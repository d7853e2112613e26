"""Notes of the processes that hold a lock, for the lines of those that wait for it.

A lock's own file cannot say who holds it, since every attempt to take it empties the file.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from bench.store.reading import read_json
from bench.text import LONGEST_NAME, one_line

logger = logging.getLogger("bench")

NOTE_SUFFIX = ".holder"

_LONGEST_NOTE = 1000
"""Size in bytes up to which a note is read."""

_UNSAID = 0.2
"""Seconds of waiting about which nothing is said."""

_PIECE = 1.0
"""Seconds that one attempt waits; between attempts a signal such as Ctrl-C can interrupt."""


@contextmanager
def noted(note: Path) -> Iterator[None]:
    """Leave a note of this process beside a lock while the block runs, if it can be written."""
    content = {"pid": os.getpid(), "host": platform.node(), "since": time.time()}
    with suppress(OSError):
        # A link that a stranger put there is removed, not followed.
        note.unlink(missing_ok=True)
        descriptor = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file)

    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)


def wait_for(
    attempt: Callable[[float], bool], notes: Callable[[], Iterable[Path]], activity: str
) -> None:
    """Try to take a lock until it is taken, and log who holds it if that takes a moment.

    Args:
        attempt: takes the lock within a number of seconds; whether it did.
        notes: paths at which holders of the lock leave notes.
        activity: work of the process that holds the lock.
    """
    if attempt(0) or attempt(_UNSAID):
        return

    holders = "; ".join(filter(None, map(described, notes())))
    logger.info("waiting for another process%s: %s", f" ({holders})" if holders else "", activity)
    while not attempt(_PIECE):
        pass


def described(note: Path) -> str | None:
    """The holder in a note, as `pid 4711, since 14:03`; None without a note of a living process."""
    try:
        content = read_json(note, _LONGEST_NOTE)
        pid, host, since = int(content["pid"]), str(content["host"]), float(content["since"])
        if host == platform.node() and not _lives(pid):
            return None
        where = "" if host == platform.node() else f" on {one_line(host, LONGEST_NAME)}"
        return f"pid {pid}{where}, since {_clock_time(since)}"
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        return True
    return True


def _clock_time(moment: float) -> str:
    """The local time of a moment, with its date unless that is today."""
    then = datetime.fromtimestamp(moment).astimezone()
    today = datetime.now().astimezone().date()

    return f"{then:%H:%M}" if then.date() == today else f"{then:%Y-%m-%d %H:%M}"
