"""Runs from a program: a configuration in, results out."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.commands.clean_text import guessing_text
from bench.commands.destination import Destination
from bench.commands.folders import weights_folder
from bench.commands.preparation import PreparedRun, prepare_run
from bench.commands.request import DEFAULT_PRESET, Resources
from bench.errors import RequestError
from bench.library.results import Results
from bench.plugins.discovery import discover
from bench.progress import Reporter, Silent, reporter
from bench.records.folder import RunFolder
from bench.report import write_tables
from bench.sweep.config import read_file, resolve
from bench.sweep.presets import read_preset
from bench.sweep.runner import OnFault, recorded_only
from bench.text import one_line

logger = logging.getLogger("bench")

AnyPath = str | os.PathLike[str]


def run(
    config: AnyPath | Mapping[str, Any] | None = None,
    *,
    preset: str | None = None,
    plugins: Sequence[AnyPath] = (),
    out: AnyPath | None = None,
    device: str = "auto",
    data: AnyPath | None = None,
    cache: AnyPath | None = None,
    pretrained: bool = False,
    weights: AnyPath | None = None,
    latency: bool = True,
    progress: bool = True,
) -> Results:
    """Run a grid as `bench run` does, and return its results.

    A cell that fails is a row of the results with its reason, and the others go on.

    Args:
        config: path of a TOML file, or a mapping of the same keys, such as
            `{"defenses": ["none", "convae"], "eps": [0.1]}`.
        preset: preset with the values of all keys that `config` does not give; with a file, none.
            By default `quick`.
        plugins: files or modules with plugins, in addition to those that the program has
            registered itself.
        out: folder of the results; by default the one that `bench run` would use.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        data: folder of data sets; None for the default.
        cache: folder of trained networks and adversarial sets; None for the default.
        pretrained: whether the trained networks of the package replace training.
        weights: folder of other trained networks that do.
        latency: whether the pipelines are timed.
        progress: whether progress is shown on standard error.

    Raises:
        RequestError: the request is wrong; nothing was computed.
        StorageError: a file could not be written.
    """
    given = [os.fspath(plugin) for plugin in plugins]
    discover(given)
    resources = Resources(
        device, path(data), path(cache), path(out), weights_folder(pretrained, path(weights))
    )
    if config is not None and not isinstance(config, Mapping):
        file = path(config) or Path()
        name, content, source = file.stem, read_file(file), one_line(str(file))
    else:
        name, content, source = preset or DEFAULT_PRESET, {}, "config"

    if preset is not None or not content:
        content = {**read_preset(name), **content}
    resolved = resolve(content, dict(config) if isinstance(config, Mapping) else {}, source)
    destination = Destination.of(name, resources)
    prepared = prepare_run(resolved, resources, reporter_of(progress), destination)

    return finished(prepared, latency=latency)


def read(folder: AnyPath) -> Results:
    """The results of a run that lies in a folder.

    Raises:
        RequestError: it is not the folder of a run, or a raw file is damaged.
    """
    return Results(RunFolder.open(path(folder) or Path()))


def finished(prepared: PreparedRun, *, latency: bool, on_fault: OnFault = recorded_only) -> Results:
    """Run all cells of a prepared run, time its pipelines and write its tables."""
    for line in guessing_text(prepared.runner.clean_accuracies()):
        logger.warning(line)
    for _ in prepared.runner.run(prepared.environment, on_fault):
        pass
    if latency:
        prepared.runner.measure_latency(prepared.environment)
    write_tables(prepared.folder)

    return Results(prepared.folder)


def reporter_of(progress: bool) -> Reporter:
    """The reporter of a call: on standard error, or silent."""
    return reporter(Console(stderr=True)) if progress else Silent()


def path(given: AnyPath | None) -> Path | None:
    """A path that was given as text or as a path.

    Raises:
        RequestError: it is something else.
    """
    try:
        return None if given is None else Path(given).expanduser()
    except TypeError:
        raise RequestError(f"{one_line(repr(given))} is no path") from None
