"""The option `--traceback`: faults of foreign code shown whole, besides their one line.

Whoever turns an exception of foreign code into one line also logs it with `exc_info` at the level
DEBUG of the logger `bench.traceback`, which shows nothing unless the option is given.
"""

from __future__ import annotations

import logging

tracebacks = logging.getLogger("bench.traceback")


def show_tracebacks(wanted: bool) -> bool:
    """Show tracebacks from now on, if wanted: the callback of the option `--traceback`."""
    if wanted:
        tracebacks.setLevel(logging.DEBUG)

    return wanted
