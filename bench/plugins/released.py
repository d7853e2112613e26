"""The built-in plugins as they were released, by the digests of their files.

A built-in plugin has a `version` in place of its code in its identity, so that a reworded comment
leaves stored networks valid. A file that someone has changed since has another digest, and its code
then counts like that of any other plugin. `make release-plugins` accepts the present files,
after a change that alters no result, or one with a new `version`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

from bench.plugins.packages import FAMILIES, ROOT

RELEASED = Path(__file__).with_name("released.json")
"""The digests by the name of the file, such as `defenses/convae.py`."""


def is_released(path: Path) -> bool:
    """Whether a file is the built-in plugin, or helper of one, that was released."""
    name = f"{path.parent.name}/{path.name}"
    return _released().get(name) == _digest(path)


def is_all_released() -> bool:
    """Whether all files of built-in plugins are those that were released."""
    return present_digests() == _released()


def present_digests() -> dict[str, str]:
    """The digests of all files of built-in plugins as they are now, by name."""
    paths = (
        path for package in FAMILIES.values() for path in sorted((ROOT / package).glob("*.py"))
    )
    return {f"{path.parent.name}/{path.name}": _digest(path) for path in paths}


@cache
def _released() -> dict[str, str]:
    digests: dict[str, str] = json.loads(RELEASED.read_text(encoding="utf-8"))
    return digests


def _digest(path: Path) -> str:
    """The SHA-256 of a text file; the kind of its line ends does not count."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


if __name__ == "__main__":
    RELEASED.write_text(json.dumps(present_digests(), indent=1) + "\n", encoding="utf-8")
