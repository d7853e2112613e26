"""The option `--traceback`: the tracebacks of foreign code's faults, besides their one line.

Code that turns an exception of foreign code into one line also logs it with `exc_info`, at the
level DEBUG of the logger `tracebacks`, which shows nothing unless the option is given.
"""

from __future__ import annotations

import logging

from bench.failures import tracebacks


def show_tracebacks(wanted: bool) -> bool:
    """Show tracebacks from now on, if wanted: the callback of the option `--traceback`."""
    if wanted:
        tracebacks.setLevel(logging.DEBUG)

    return wanted
