"""The folders of data, cache, runs and weights, from options and environment variables."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from bench.errors import RequestError
from bench.store.weights import pretrained as packaged_weights

RUNS = Path("results") / "runs"
"""Parent of the folders of runs by default, below the working directory."""


def data_folder(option: Path | None) -> Path:
    """The folder of data sets: `--data`, `BENCH_DATA`, or the user's cache folder."""
    return _chosen(option, "BENCH_DATA", "data")


def cache_folder(option: Path | None) -> Path:
    """The folder of artifacts: `--cache`, `BENCH_CACHE`, or the user's cache folder."""
    return _chosen(option, "BENCH_CACHE", "artifacts")


def weights_folder(pretrained: bool, folder: Path | None) -> Path | None:
    """The folder of trained networks that `--pretrained` or `--weights` names; None for neither.

    Raises:
        RequestError: both options are given.
    """
    if not pretrained:
        return folder and folder.expanduser()
    if folder is not None:
        raise RequestError("give --pretrained or --weights, not both")

    return packaged_weights()


def _chosen(option: Path | None, variable: str, default: str) -> Path:
    if option is not None:
        return option.expanduser()
    if os.environ.get(variable):
        return Path(os.environ[variable]).expanduser()

    return user_cache_path("purification-bench") / default
