"""The preparation of a run: every part of its request is checked, then its folder is opened."""

from __future__ import annotations

import glob
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.commands.folders import RUNS, cache_folder, data_folder
from bench.commands.paths import checked_folder
from bench.commands.request import Request, Resources, configuration
from bench.errors import RequestError
from bench.machine.devices import choose_device, device_name
from bench.machine.environment import describe_environment
from bench.plugins.discovery import discover
from bench.progress import reporter
from bench.records.folder import RunFolder
from bench.run.cell_tasks import CellTasks
from bench.run.changes import changed_code
from bench.run.config import RunConfig
from bench.run.grid import Grid
from bench.run.plan import Plan, Planner
from bench.run.runner import Runner
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.stages.observation import Observer
from bench.store.artifacts import ArtifactStore
from bench.store.keys import content_key
from bench.store.weights import KIND, Weights

logger = logging.getLogger("bench")


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to start.

    Attributes:
        runner: runner of the request's grid into its folder.
        environment: id of this machine's environment in the folder.
        device: device and its model name, as text.
        weights: trained networks that replace training; None for none.
    """

    runner: Runner
    environment: str
    device: str
    weights: Weights | None

    @property
    def folder(self) -> RunFolder:
        """The folder of the results."""
        return self.runner.folder


def prepare(request: Request, messages: Console, command: str = "") -> PreparedRun:
    """Check every part of a request and open its folder.

    Args:
        request: options of the command.
        messages: console that progress is shown on.
        command: name of the command, which begins the folder's name and is part of the run's
            configuration; empty for `bench run`.

    Raises:
        RequestError: the request is wrong; nothing was computed.
    """
    discover(request.plugins)
    name, config = configuration(request)
    grid = Grid.of(config)
    weights = Weights.open(request.resources.weights) if request.resources.weights else None
    context = _context(request.resources, weights, messages)
    for dataset in grid.datasets:
        context.dataset(dataset).test_images(config.n)
    grid.check_networks(lambda dataset: context.dataset(dataset).info)
    observer = Observer()
    grid = grid.observed(
        lambda plugin, dataset: observer.observed(plugin, context.dataset(dataset).info)
    )

    resolved = _resolved_configuration(grid, config, context, command)
    if weights:
        # Other weights give other numbers, which must not be mixed in one folder.
        used = requested_weights(weights, _whole_plan(grid, config, context), name)
        resolved["weights"] = content_key(used)

    title = f"{command}-{name}" if command else name
    default = RUNS / f"{title}-{content_key(resolved)[:8]}"
    path = request.resources.out or checked_folder("--out", default)
    folder = open_folder(path, {"preset": name, **resolved}, title)
    runner = Runner(grid, config, context, LocalExecutor(context), folder)
    environment = folder.save_environment(describe_environment(context.device))
    device = f"{context.device} ({device_name(context.device)})"

    return PreparedRun(runner, environment, device, weights)


def open_folder(path: Path, config: Mapping[str, Any], title: str) -> RunFolder:
    """The folder of a run, made where it does not exist.

    Plugins whose code has changed since an earlier run of the same request are named.

    Args:
        path: folder of the run.
        config: resolved configuration.
        title: start of the names of the folders of such runs.

    Raises:
        RequestError: the folder holds a run of another configuration or of other code, or something
            else.
    """
    earlier = _stored_configuration(path)
    if earlier is not None and (changed := changed_code(earlier, config)):
        raise RequestError(
            f"{path} holds a run of other code: {'; '.join(changed)} changed since; choose another "
            "folder with --out"
        )

    for sibling in _siblings(title) if earlier is None else []:
        stored = _stored_configuration(sibling)
        if stored is not None and (changed := changed_code(stored, config)):
            logger.info("changed since the run in %s: %s", sibling, "; ".join(changed))
            break

    return RunFolder.create(path, config)


def _siblings(title: str) -> list[Path]:
    """The folders of earlier runs whose names begin with a title, the latest first."""
    found = []
    for path in RUNS.glob(f"{glob.escape(title)}-*"):
        # A link may lead nowhere, and another process may remove a folder at any moment.
        with suppress(OSError):
            found.append((path.stat().st_mtime, path))

    return [path for _, path in sorted(found, reverse=True)]


def _stored_configuration(path: Path) -> dict[str, Any] | None:
    """The configuration of the run in a folder; None where there is none, or a damaged one."""
    try:
        return RunFolder(path).config()
    except RequestError:
        return None


def requested_weights(weights: Weights, plan: Plan, name: str) -> dict[str, str]:
    """The digests of the trained networks that a whole grid uses, by key.

    Args:
        weights: trained networks of a folder.
        plan: plan of the whole grid.
        name: name of the preset or configuration, for the message.

    Raises:
        RequestError: the grid uses none of the networks.
    """
    keys = {key[:32] for key in plan.networks}
    used = {key: entry.digest for key, entry in weights.entries.items() if key in keys}

    if not used:
        networks = ", ".join(
            f"{entry.name} on {entry.dataset}, seed {entry.seed}"
            for entry in weights.entries.values()
        )
        raise RequestError(
            f"none of the weights in {weights.folder} is one that this run ({name}) asks for: "
            "data set, parameters, seed and classifier must be the same; "
            f"the folder has: {networks or 'none'}"
        )

    return used


def _context(resources: Resources, weights: Weights | None, messages: Console) -> TaskContext:
    device = choose_device(resources.device)
    given = {KIND: weights.paths} if weights else None
    store = ArtifactStore(cache_folder(resources.cache), given)

    return TaskContext(device, store, data_folder(resources.data), reporter(messages))


def _resolved_configuration(
    grid: Grid, config: RunConfig, context: TaskContext, command: str
) -> dict[str, Any]:
    """Everything that distinguishes a run from others, as JSON."""
    resolved = {
        "device": context.device.type,
        "plugins": grid.identities(),
        **config.model_dump(mode="json"),
    }
    return {**resolved, "command": command} if command else resolved


def _whole_plan(grid: Grid, config: RunConfig, context: TaskContext) -> Plan:
    """The plan of all cells, recorded or not."""
    tasks = CellTasks(LocalExecutor(context), context, config)
    return Planner(grid, tasks, context).plan(lambda _: False)
