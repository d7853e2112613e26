"""What `bench run` and `bench latency` ask for, checked as a whole before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.commands.folders import RUNS, cache_folder, data_folder
from bench.errors import RequestError
from bench.latency.engines import engines_of, precisions_of
from bench.machine.environment import choose_device, describe, device_name
from bench.plugins.discovery import discover
from bench.progress import reporter
from bench.records.folder import RunFolder
from bench.run.cell_tasks import CellTasks
from bench.run.config import RunConfig, read_file, resolve
from bench.run.grid import Grid
from bench.run.plan import Plan, Planner
from bench.run.presets import read_preset
from bench.run.runner import Runner
from bench.spec import split_list
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.store.artifacts import ArtifactStore
from bench.store.keys import content_key
from bench.store.weights import KIND, Weights

DEFAULT_PRESET = "quick"


@dataclass(frozen=True)
class Resources:
    """Where a run computes, reads and writes; None for the default.

    Attributes:
        device: it computes on.
        data: folder of data sets.
        cache: folder of artifacts.
        out: the run's folder.
        weights: a folder of trained networks that are taken instead of training them.
    """

    device: str
    data: Path | None
    cache: Path | None
    out: Path | None
    weights: Path | None = None


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        axes: comma-separated lists by axis, None where the preset decides.
        scalars: single values likewise.
        latency: settings of the timing likewise; lists are comma-separated.
        preset: the preset's name; None for `quick`.
        config_file: a TOML file instead.
        plugins: files or modules outside the package.
        places: device and folders.
    """

    axes: Mapping[str, str | None]
    scalars: Mapping[str, str | None]
    latency: Mapping[str, str | None]
    preset: str | None
    config_file: Path | None
    plugins: tuple[str, ...]
    places: Resources


@dataclass(frozen=True)
class Prepared:
    """A request that can be carried out.

    Attributes:
        runner: of its grid, into its folder.
        environment: id of this machine's environment in the folder.
        device: for people.
        weights: that networks are taken from, where some are given.
    """

    runner: Runner
    environment: str
    device: str
    weights: Weights | None

    @property
    def folder(self) -> RunFolder:
        """Where its results lie."""
        return self.runner.folder


def prepare(request: Request, messages: Console, command: str = "") -> Prepared:
    """Check a request as a whole and open its folder.

    Args:
        request: what is asked for.
        messages: where progress is shown.
        command: leads the folder's name and is part of its configuration; empty for `bench run`.

    Raises:
        RequestError: the request is wrong; nothing was computed.
    """
    discover(request.plugins)
    name, config = configuration(request)
    engines_of(config.latency.engines)
    precisions_of(config.latency.precisions)
    places = request.places
    device = choose_device(places.device)
    grid = Grid.of(config)
    weights = Weights.open(places.weights) if places.weights else None
    store = ArtifactStore(cache_folder(places.cache), {KIND: weights.paths} if weights else None)
    context = TaskContext(device, store, data_folder(places.data), reporter(messages))
    for dataset in grid.datasets:
        context.dataset(dataset).test_images(config.n)
    resolved = {
        "device": device.type,
        "plugins": grid.identities(),
        **config.model_dump(mode="json"),
    }
    if command:
        resolved["command"] = command
    executor = LocalExecutor(context)
    if weights:  # others give other numbers, which must not mix with these
        planned = Planner(grid, CellTasks(executor, context, config), context).plan(lambda _: False)
        resolved["weights"] = content_key(taken(weights, planned, name))
    title = "-".join(filter(None, (command, name)))
    folder = RunFolder.create(
        places.out or RUNS / f"{title}-{content_key(resolved)[:8]}", {"preset": name, **resolved}
    )
    runner = Runner(grid, config, context, executor, folder)
    environment = folder.save_environment(describe(device))
    return Prepared(runner, environment, f"{device} ({device_name(device)})", weights)


def taken(weights: Weights, plan: Plan, name: str) -> dict[str, str]:
    """The digests of the weights that a whole grid asks for, by key.

    Args:
        weights: those given.
        plan: of the whole grid.
        name: of the preset or configuration.

    Raises:
        RequestError: it asks for none of them.
    """
    asked = {key[:32] for key in plan.networks}
    found = {key: entry.digest for key, entry in weights.entries.items() if key in asked}
    if not found:
        there = ", ".join(
            f"{entry.name} on {entry.dataset}, seed {entry.seed}"
            for entry in weights.entries.values()
        )
        raise RequestError(
            f"none of the weights in {weights.folder} is one that this run ({name}) asks for, with its data set, "
            f"parameters, seed and classifier; there are: {there or 'none at all'}"
        )
    return found


def configuration(request: Request) -> tuple[str, RunConfig]:
    """The name and the resolved configuration of a request."""
    preset, config_file = request.preset, request.config_file
    if preset is not None and config_file is not None:
        raise RequestError("give --preset or --config, not both")
    overrides: dict[str, Any] = {axis: _listed(text) for axis, text in request.axes.items()}
    overrides.update(request.scalars, **budgets(overrides.get("eps")))
    overrides["latency"] = {
        name: _listed(text) if name in _LISTS else text
        for name, text in request.latency.items()
        if text is not None
    } or None
    if config_file is not None:
        return config_file.stem, resolve(read_file(config_file), overrides, str(config_file))
    name = preset or DEFAULT_PRESET
    return name, resolve(read_preset(name), overrides, f"preset {name}")


def budgets(items: Iterable[str] | None) -> dict[str, Any]:
    """The overrides `eps` and `attack_eps` that the items of `--eps` come to; None for what they do
    not name.

    Args:
        items: numbers, and `ATTACK=NUMBER` for the attack of that name or spec, such as
            `pgd:norm=l2=2`.
    """
    general: list[str] = []
    named: dict[str, tuple[str, ...]] = {}
    for item in items or ():
        attack, equals, value = item.rpartition("=")
        if equals and not attack:
            raise RequestError(f"--eps {item}: there is no attack before the '='")
        if equals:
            named[attack] = (*named.get(attack, ()), value)
        else:
            general.append(item)
    return {"eps": tuple(general) or None, "attack_eps": named or None}


_LISTS = ("batch_sizes", "engines", "precisions")
"""Settings of the timing that are lists."""


def _listed(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(split_list(text))
