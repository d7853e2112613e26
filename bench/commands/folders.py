"""The folders of data, cache, runs and weights, from options and environment variables."""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import RequestError
from bench.store.user_folders import user_cache
from bench.store.weights import pretrained as packaged_weights
from bench.text import one_line

RUNS = Path("results") / "runs"
"""Parent of the folders of runs by default, below the working directory."""

_DATA = Path("results") / "data"
"""Folder of data sets for a user without a home folder, below the working directory."""

_LONGEST_NAME = 255
"""Length in bytes of the longest name of a file or folder."""


def data_folder(option: Path | None) -> Path:
    """The folder of data sets: `--data`, `BENCH_DATA`, or the user's cache folder.

    For a user without a home folder it is below the working directory.

    Raises:
        RequestError: the given path cannot be used.
    """
    home = user_cache()
    return _given(option, "--data", "BENCH_DATA") or (home / "data" if home else _DATA)


def cache_folder(option: Path | None) -> Path:
    """The folder of artifacts: `--cache`, `BENCH_CACHE`, or the user's cache folder.

    Raises:
        RequestError: the given path cannot be used, or none is given and the user has no home
            folder.
    """
    given = _given(option, "--cache", "BENCH_CACHE")
    if given is not None:
        return given

    home = user_cache()
    if home is None:
        raise RequestError(
            "no cache folder: this user has no home folder, so name one with --cache or BENCH_CACHE"
        )
    return home / "artifacts"


def weights_folder(pretrained: bool, folder: Path | None) -> Path | None:
    """The folder of trained networks that `--pretrained` or `--weights` names; None for neither.

    Raises:
        RequestError: both options are given, or the path cannot be used.
    """
    if not pretrained:
        return folder and checked_path("--weights", folder)
    if folder is not None:
        raise RequestError("give --pretrained or --weights, not both")

    return packaged_weights()


def checked_path(option: str, path: Path) -> Path:
    """The path with `~` expanded, which the system accepts and may look up.

    Whether something is there is not checked.

    Args:
        option: option, argument or variable that names the path, for the message.
        path: path as given.

    Raises:
        RequestError: the path names the home folder of nobody, is too long, has characters that no
            name of a file has, or leads through a file or a folder that may not be entered.
    """
    try:
        expanded = path.expanduser()
    except RuntimeError:
        raise _unusable(option, path, "there is no such home folder") from None

    try:
        _check_names(expanded)
        expanded.lstat()
    except FileNotFoundError:
        return expanded
    except ValueError as error:
        raise _unusable(option, path, str(error)) from None
    except OSError as error:
        raise _unusable(option, path, error.strerror or str(error)) from None

    return expanded


def _check_names(path: Path) -> None:
    """Check the length of each name, also below folders that do not exist yet.

    Raises:
        ValueError: a name is too long, or cannot be encoded.
    """
    for part in path.parts:
        length = len(os.fsencode(part))
        if length > _LONGEST_NAME:
            raise ValueError(f"a name has {length} bytes, more than {_LONGEST_NAME}")


def _unusable(option: str, path: Path, reason: str) -> RequestError:
    return RequestError(f"{option} {one_line(str(path), 80)}: {one_line(reason)}")


def _given(option: Path | None, name: str, variable: str) -> Path | None:
    """The checked path of an option, or else of an environment variable; None without either."""
    if option is not None:
        return checked_path(name, option)
    if os.environ.get(variable):
        return checked_path(variable, Path(os.environ[variable]))

    return None
