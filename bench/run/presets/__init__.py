"""The presets: configuration files in the package."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from bench.errors import unknown


def preset_names() -> list[str]:
    """The presets in the package."""
    folder = resources.files("bench.run.presets")
    return sorted(
        Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def read_preset(name: str) -> dict[str, Any]:
    """The content of a preset.

    Raises:
        RequestError: there is none of that name.
    """
    if name not in preset_names():
        raise unknown("preset", name, preset_names())
    return tomllib.loads(
        (resources.files("bench.run.presets") / f"{name}.toml").read_text(encoding="utf-8")
    )
