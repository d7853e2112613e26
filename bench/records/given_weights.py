"""The trained networks that a run was given, as its configuration states them.

A configuration has the digests of those networks that its grid uses, by key. That of an earlier
version has one digest over all of them, which tells nothing about a single network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.store.keys import content_key

WEIGHTS = "weights"
"""Key of a configuration; a run that was given none does not have it."""


def are_compatible(first: Any, second: Any) -> bool:
    """Whether what two configurations state under `WEIGHTS` may belong to one run.

    A network that both were given must be the same. One may have been given more: a run that grows
    asks for more of them.

    Args:
        first: what a configuration states; None where it has no such key.
        second: what the other states.
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return all(second[key] == first[key] for key in first.keys() & second.keys())

    return bool(_summary(first) == _summary(second))


def summarized(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with one digest over all networks, as in earlier versions.

    The names of folders are made of it, so that they stay the same.
    """
    return {**config, **({WEIGHTS: _summary(config[WEIGHTS])} if WEIGHTS in config else {})}


def _summary(stated: Any) -> Any:
    """The one digest over all networks."""
    return content_key(stated) if isinstance(stated, Mapping) else stated
