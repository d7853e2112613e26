"""Folders of the repository's `results` that come with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def packaged_folder(name: str) -> Path:
    """The folder `results/<name>` of a checkout, or its copy inside an installed package."""
    installed = Path(str(resources.files("bench"))) / name
    return installed if installed.is_dir() else Path(__file__).parents[2] / "results" / name


def published_names() -> list[str]:
    """The names of the files of results/published, without ending."""
    return sorted(path.stem for path in packaged_folder("published").glob("*.json"))
