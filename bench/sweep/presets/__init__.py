"""The presets: configuration files that come with the package."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from bench.errors import unknown


def preset_names() -> list[str]:
    """The names of all presets, sorted."""
    folder = resources.files("bench.sweep.presets")
    return sorted(
        Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def read_preset(name: str) -> dict[str, Any]:
    """The content of a preset.

    Raises:
        RequestError: there is no preset of that name.
    """
    return tomllib.loads(_text(name))


def preset_summary(name: str) -> str:
    """The first line of a preset, a comment that describes it.

    Raises:
        RequestError: there is no preset of that name.
    """
    return _text(name).partition("\n")[0].removeprefix("# ").removesuffix(".")


def _text(name: str) -> str:
    if name not in preset_names():
        raise unknown("preset", name, preset_names())
    return (resources.files("bench.sweep.presets") / f"{name}.toml").read_text(encoding="utf-8")
