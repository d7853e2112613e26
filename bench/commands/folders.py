"""The folders of data, cache, runs and weights, from options and environment variables."""

from __future__ import annotations

import os
from pathlib import Path

from bench.commands.paths import checked_folder
from bench.errors import RequestError
from bench.store.user_folders import user_cache
from bench.store.weights import pretrained as packaged_weights

RUNS = Path("results") / "runs"
"""Parent of the folders of runs by default, below the working directory."""

_DATA = Path("results") / "data"
"""Folder of data sets for a user without a home folder, below the working directory."""


def data_folder(option: Path | None) -> Path:
    """The folder of data sets: `--data`, `BENCH_DATA`, or the user's cache folder.

    For a user without a home folder it is below the working directory.

    Args:
        option: checked path of the option; None where it is not given.

    Raises:
        RequestError: the path in the variable cannot be used.
    """
    home = user_cache()
    return option or _named_by("BENCH_DATA") or (home / "data" if home else _DATA)


def cache_folder(option: Path | None) -> Path:
    """The folder of artifacts: `--cache`, `BENCH_CACHE`, or the user's cache folder.

    Args:
        option: checked path of the option; None where it is not given.

    Raises:
        RequestError: the path in the variable cannot be used, or no folder is named and the user
            has no home folder.
    """
    given = option or _named_by("BENCH_CACHE")
    if given is not None:
        return given

    home = user_cache()
    if home is None:
        raise RequestError(
            "no cache folder: this user has no home folder, so name one with --cache or BENCH_CACHE"
        )
    return home / "artifacts"


def weights_folder(pretrained: bool, option: Path | None) -> Path | None:
    """The folder of trained networks that `--pretrained` or `--weights` names; None for neither.

    Args:
        pretrained: whether the first option is given.
        option: checked path of the second; None where it is not given.

    Raises:
        RequestError: both options are given.
    """
    if not pretrained:
        return option
    if option is not None:
        raise RequestError("give --pretrained or --weights, not both")

    return packaged_weights()


def _named_by(variable: str) -> Path | None:
    """The checked path of a folder in an environment variable; None where it is not set."""
    value = os.environ.get(variable)
    return checked_folder(variable, Path(value)) if value else None
