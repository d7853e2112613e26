"""The refusal to merge two runs."""

from __future__ import annotations

from pathlib import Path

from bench.errors import RequestError


def differing(first: Path, second: Path, difference: str) -> RequestError:
    """The error for two runs that cannot be merged.

    Args:
        first: folder of a run.
        second: folder of another run.
        difference: what keeps them apart, in one line.
    """
    return RequestError(f"{first} and {second} do not belong together: {difference}")
