"""The import of matplotlib under its own default settings.

Matplotlib obeys the file `matplotlibrc` of the working folder, which may start programs or be
damaged, and the environment variables MATPLOTLIBRC and MPLBACKEND, which in a notebook name a
backend that is not installed elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def import_matplotlib() -> None:
    """Import matplotlib without the settings of the working folder and the environment.

    Everything that imports matplotlib, also through another package, calls this first. Where
    matplotlib is imported already, as in a notebook, its settings stay as they are.
    """
    if "matplotlib" in sys.modules:
        return

    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")

    # The default settings are a file `matplotlibrc` too, so in their folder only they are found.
    defaults = Path(spec.origin).parent / "mpl-data"
    with _environment(defaults), _working_folder(defaults):
        importlib.import_module("matplotlib")

    _name_backend()


def _name_backend() -> None:
    """Keep the backend that the environment names, for a notebook; the harness draws on none."""
    backend = os.environ.get("MPLBACKEND")
    if backend:
        from matplotlib import rcParams

        with contextlib.suppress(ValueError):  # there is no such backend
            rcParams["backend"] = backend


@contextlib.contextmanager
def _environment(defaults: Path) -> Iterator[None]:
    """Matplotlib's environment variables at their defaults while the block runs."""
    before = {name: os.environ.pop(name, None) for name in ("MATPLOTLIBRC", "MPLBACKEND")}
    os.environ["MATPLOTLIBRC"] = str(defaults)
    try:
        yield
    finally:
        del os.environ["MATPLOTLIBRC"]
        os.environ.update({name: value for name, value in before.items() if value is not None})


@contextlib.contextmanager
def _working_folder(folder: Path) -> Iterator[None]:
    """Another working folder while the block runs."""
    try:
        before = Path.cwd()
        os.chdir(before)
    except OSError:  # it was removed or is closed to this user, so nothing is read from it
        yield
        return

    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
