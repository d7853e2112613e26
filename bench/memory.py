"""The memory that this process can still take, tried out rather than looked up.

Little is left long before it is used up, and then foreign code fails in ways of its own: C code
returns an error without an exception, no thread can be started, a library cannot be mapped.
"""

from __future__ import annotations

SPARE_MEGABYTES = 32
"""Number of megabytes below which memory is short; a new thread alone takes eight."""


def is_short() -> bool:
    """Whether less than `SPARE_MEGABYTES` of memory are left below the limit of this process."""
    try:
        bytes(SPARE_MEGABYTES * 2**20)  # reserved by the system, and given back untouched
    except MemoryError:
        return True

    return False
