"""Files that another machine has written to a shared file system, and when they are seen here."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_PAUSE_S = 0.1


def is_seen(path: Path, seconds: float) -> bool:
    """Whether a file that another machine has written is seen here, or soon is.

    A client of NFS remembers for a while that a file was missing. It asks the server again about a
    folder that is opened.

    Args:
        path: file.
        seconds: longest time that is waited.
    """
    end = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > end:
            return False
        with suppress(OSError):
            os.scandir(path.parent).close()
        time.sleep(_PAUSE_S)

    return True
