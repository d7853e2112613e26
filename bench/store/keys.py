"""Content keys, and the seeds derived from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FORMAT = 1
"""Version of all stages; raise it when a change makes earlier artifacts invalid.

It stayed at 1 when the files of a plugin came to count by their content alone, in 0.2.0: plugins
with files have other keys since then, and all others have kept theirs.
"""


def content_key(content: Mapping[str, Any]) -> str:
    """The SHA-256 (64 hexadecimal digits) of canonical JSON: equal content gives an equal key."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def artifact_key(kind: str, identity: Mapping[str, Any]) -> str:
    """The content key of an artifact.

    Args:
        kind: kind of the task that makes the artifact.
        identity: everything that changes the artifact, as JSON.
    """
    return content_key({**identity, "kind": kind, "format": FORMAT})


def derived_seed(*parts: object) -> int:
    """A seed in [0, 2**63) derived from any number of keys, numbers and names."""
    text = "\x00".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
