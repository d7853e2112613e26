"""The option `--quiet`, which hides the messages that report no failure."""

from __future__ import annotations

import logging


def hide_messages(wanted: bool) -> bool:
    """Hide the log below warnings where the option is given; typer's callback of the option."""
    if wanted:
        logging.getLogger("bench").setLevel(logging.WARNING)

    return wanted
