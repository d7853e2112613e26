"""Changes of code between two runs of the same request: which plugins, and which of their files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_CODE = ("version", "source", "code", "distributions", "files", "observed")
"""Parts of a plugin's identity that are no parameters."""


def changed_code(earlier: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    """The plugins whose code or files differ, each with what has changed.

    Args:
        earlier: resolved configuration of a run, as its folder holds it.
        present: resolved configuration of another run. It may differ in the code and the files of
            plugins only; with any other difference there is no answer, and nothing is returned.
    """
    present = json.loads(json.dumps(present))
    if _without_code(earlier) != _without_code(present):
        return []

    changed = []
    for family, plugins in present["plugins"].items():
        for label, identity in plugins.items() if isinstance(plugins, Mapping) else ():
            parts = dict.fromkeys(changed_parts(earlier["plugins"][family][label], identity))
            if parts:
                changed.append(f"{family.removesuffix('s')} {label} ({', '.join(parts)})")

    return changed


def _without_code(value: Any) -> Any:
    """The value without the parts of plugins' identities that `_CODE` names."""
    if isinstance(value, list | tuple):
        return [_without_code(item) for item in value]
    if not isinstance(value, Mapping):
        return value

    is_plugin = {"name", "version", "parameters"} <= value.keys()
    return {
        key: _without_code(item) for key, item in value.items() if not (is_plugin and key in _CODE)
    }


def changed_parts(before: Any, present: Any) -> Iterator[str]:
    """What differs in code between two identities, those of plugins in parameters included.

    Args:
        before: identity of a plugin or a threat model, as JSON.
        present: another one of the same parameters.
    """
    if isinstance(before, list) and isinstance(present, list):
        for old, new in zip(before, present, strict=False):
            yield from changed_parts(old, new)
    if not isinstance(before, Mapping) or not isinstance(present, Mapping):
        return

    if before.get("version") != present.get("version"):
        yield "its version"
    if before.get("source") != present.get("source"):
        yield "its file"
    yield from _changed_names(before.get("code"), present.get("code"))
    yield from _changed_names(before.get("distributions"), present.get("distributions"))
    if before.get("files") != present.get("files"):
        yield "a file that it declares"
    if before.get("observed") != present.get("observed"):
        yield "a file that it loads"

    parameters = before.get("parameters", {})
    for name, value in present.get("parameters", {}).items():
        yield from changed_parts(parameters.get(name), value)
    yield from changed_parts(before.get("substitute"), present.get("substitute"))


def _changed_names(before: Any, present: Any) -> Iterator[str]:
    """The names of the entries that only one of two lists of code has; a name comes first."""
    # The earlier list is from a file, which may hold anything.
    old, new = (listed if isinstance(listed, list) else [] for listed in (before, present))
    differing = [entry for entry in old if entry not in new]
    differing += [entry for entry in new if entry not in old]

    yield from sorted({str(entry[0]) for entry in differing if isinstance(entry, list) and entry})
