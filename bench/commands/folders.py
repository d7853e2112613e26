"""Where data, cache and runs lie: an option, else an environment variable, else the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

RUNS = Path("results") / "runs"
"""Default parent of run folders, under the working directory."""


def data_folder(option: Path | None) -> Path:
    """The folder of data sets: `--data`, `BENCH_DATA`, or the user's cache folder."""
    return _chosen(option, "BENCH_DATA", "data")


def cache_folder(option: Path | None) -> Path:
    """The folder of artifacts: `--cache`, `BENCH_CACHE`, or the user's cache folder."""
    return _chosen(option, "BENCH_CACHE", "artifacts")


def _chosen(option: Path | None, variable: str, default: str) -> Path:
    if option is not None:
        return option.expanduser()
    if os.environ.get(variable):
        return Path(os.environ[variable]).expanduser()
    return user_cache_path("purification-bench") / default
