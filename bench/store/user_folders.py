"""The folder of this package among the caches of the user."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path


def user_cache() -> Path | None:
    """The user's cache folder of this package; None for a user without a home folder.

    A process may run under a number that belongs to no account, as in a container.
    """
    try:
        folder = user_cache_path("purification-bench")
    except RuntimeError:
        return None

    # Older releases of platformdirs leave `~` as it is.
    return folder if folder.is_absolute() else None
