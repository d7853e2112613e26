"""Content keys, and the seeds derived from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FORMAT = 1
"""Raise it when a stage changes so that its earlier artifacts no longer count."""


def content_key(content: Mapping[str, Any]) -> str:
    """A SHA-256 (64 hexadecimal digits) of canonical JSON: equal content, equal key, whatever the order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def artifact_key(kind: str, identity: Mapping[str, Any]) -> str:
    """The key of an artifact.

    Args:
        kind: of the task that makes it.
        identity: all that changes it, as JSON.
    """
    return content_key({**identity, "kind": kind, "format": FORMAT})


def derived_seed(*parts: object) -> int:
    """A seed in [0, 2**63) from any number of keys, numbers and names."""
    text = "\x00".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
