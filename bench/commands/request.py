"""The request of `bench run` and `bench latency`: their options, resolved to a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from bench.commands.paths import checked_file
from bench.errors import RequestError
from bench.execution.specs import DEFAULT_EXECUTOR, parse_executor
from bench.machine.device_names import parse_device
from bench.plugins.catalog import ENTRY_POINT_GROUP, is_file_name, list_plugins, plugin_source
from bench.plugins.packages import PACKAGES
from bench.spec import split_list
from bench.store.weights import pretrained
from bench.sweep.config import RunConfig, read_file, resolve
from bench.sweep.config_checks import check_fixed_names, check_plugin_names
from bench.sweep.presets import read_preset
from bench.sweep.shard import Shard
from bench.text import one_line

DEFAULT_PRESET = "quick"

_TIMING_DEFAULTS = {"batch_sizes": "1,8,32,128,512", "rounds": "2"}
"""Settings of `bench latency` that replace a preset's, but no configuration file's."""

_NO_ATTACK = {"attacks": "fgsm", "eps": "0", "threats": "graybox", "seeds": "0"}
"""Axes of the attack, which a grid must have although `bench latency` attacks nothing."""

_TIMING_LISTS = ("batch_sizes", "engines", "precisions")
"""Settings of the latency measurement that are lists."""


@dataclass(frozen=True)
class Resources:
    """The device and the folders that a run uses.

    Attributes:
        device: device as `--device` names it.
        data: folder of data sets; None for the default.
        cache: folder of artifacts; None for the default.
        out: folder of the results; None for the default.
        weights: folder of trained networks that replace training; None for none.
        executor: executor as `--executor` names it.
    """

    device: str
    data: Path | None
    cache: Path | None
    out: Path | None
    weights: Path | None = None
    executor: str = DEFAULT_EXECUTOR


@dataclass(frozen=True)
class Request:
    """The options of a command, as they were given; None for an option that was not given.

    Attributes:
        axes: comma-separated lists of the grid's axes, by axis.
        scalars: single settings of the evaluation, by name.
        latency: settings of the latency measurement, by name; lists are comma-separated.
        preset: name of the preset; None for `quick`.
        config_file: TOML file in place of a preset.
        plugins: files or modules with plugins from outside the package, besides those that the
            configuration file names.
        resources: device and folders.
        shard: shard of the grid that is run; None for the whole grid.
    """

    axes: Mapping[str, str | None]
    scalars: Mapping[str, str | None]
    latency: Mapping[str, str | None]
    preset: str | None
    config_file: Path | None
    plugins: tuple[str, ...]
    resources: Resources
    shard: Shard | None = None


def unrecorded_options(request: Request) -> list[str]:
    """Names and values of the options that a run's folder does not record, as they were given."""
    resources = request.resources
    own_weights = resources.weights if resources.weights != pretrained() else None
    paths = {"--data": resources.data, "--cache": resources.cache, "--weights": own_weights}
    plugins = [word for plugin in request.plugins for word in ("--plugin", plugin)]
    device = [] if resources.device == "auto" else ["--device", resources.device]
    is_default = resources.executor == DEFAULT_EXECUTOR
    executor = [] if is_default else ["--executor", resources.executor]

    return [
        *(word for name, path in paths.items() if path for word in (name, str(path))),
        *plugins,
        *device,
        *executor,
    ]


def timing_request(request: Request) -> Request:
    """The request of `bench latency`, with the axes and settings of a run without attacks."""
    given = {name: text for name, text in request.latency.items() if text is not None}
    defaults = _TIMING_DEFAULTS if request.config_file is None else {}

    return replace(request, axes={**request.axes, **_NO_ATTACK}, latency={**defaults, **given})


def check_request(request: Request) -> None:
    """Check what can be checked without importing torch, which takes seconds.

    Raises:
        RequestError: the request is wrong.
    """
    parse_device(request.resources.device)
    parse_executor(request.resources.executor)
    _, config = configuration(request)
    check_fixed_names(config)

    plugins = requested_plugins(request, config)
    for plugin in plugins:
        plugin_source(plugin)
    if not plugins and not entry_points(group=ENTRY_POINT_GROUP):
        check_plugin_names(config, _own_plugins())


def configuration(request: Request) -> tuple[str, RunConfig]:
    """The name and the resolved configuration of a request.

    The name is that of the preset, or of the configuration file without its suffix.

    Raises:
        RequestError: an option or the configuration file is wrong.
    """
    if request.preset is not None and request.config_file is not None:
        raise RequestError("give --preset or --config, not both")

    overrides = _overrides(request)
    if request.config_file is not None:
        content = read_file(request.config_file)
        source = one_line(str(request.config_file))
        return request.config_file.stem, resolve(content, overrides, source)

    name = request.preset or DEFAULT_PRESET
    return name, resolve(read_preset(name), overrides, f"preset {name}")


def requested_plugins(request: Request, config: RunConfig) -> tuple[str, ...]:
    """The files and modules with plugins that the options and the configuration file name.

    Args:
        request: options of the command.
        config: configuration of the request; the files that it names are relative to its folder.

    Raises:
        RequestError: a path is wrong, see `bench.commands.paths.checked_file`.
    """
    if request.config_file is None:
        return request.plugins

    named = (_beside(request.config_file, plugin) for plugin in config.plugins)
    return tuple(dict.fromkeys((*request.plugins, *named)))


def _beside(file: Path, plugin: str) -> str:
    """A plugin that a configuration file names; a path as it is seen from the working folder."""
    if not is_file_name(plugin):
        return plugin

    path = Path(plugin) if plugin.startswith("~") else file.parent / plugin
    return str(checked_file(f"{one_line(str(file))}: plugin", path).absolute())


def budgets(items: Iterable[str] | None) -> dict[str, Any]:
    """The overrides `eps` and `attack_eps` of the items of `--eps`; None for one without items.

    Args:
        items: numbers, and `ATTACK=NUMBER` for the attack of that name or spec, such as
            `pgd:norm=l2=2`.

    Raises:
        RequestError: an item has no attack before its '='.
    """
    general: list[str] = []
    by_attack: dict[str, tuple[str, ...]] = {}

    for item in items or ():
        attack, equals, value = item.rpartition("=")
        if equals and not attack:
            raise RequestError(f"--eps {one_line(item)}: there is no attack before the '='")
        if equals:
            by_attack[attack] = (*by_attack.get(attack, ()), value)
        else:
            general.append(item)

    return {"eps": tuple(general) or None, "attack_eps": by_attack or None}


def _own_plugins() -> dict[str, list[str]]:
    """The names of the package's own plugins by family.

    Those of plugins from outside are known for certain only after their import.
    """
    infos = list_plugins()
    return {family: [info.name for info in infos if info.family == family] for family in PACKAGES}


def _overrides(request: Request) -> dict[str, Any]:
    """The options as values of configuration keys; None for a key without an option."""
    axes = {axis: _listed(text) for axis, text in request.axes.items()}
    latency = {
        name: _listed(text) if name in _TIMING_LISTS else text
        for name, text in request.latency.items()
        if text is not None
    }

    return {**axes, **request.scalars, **budgets(axes.get("eps")), "latency": latency or None}


def _listed(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(split_list(text))
