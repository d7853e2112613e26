"""The preparation of a run: every part of its request is checked, then its folder is opened."""

from __future__ import annotations

import glob
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.commands.folders import RUNS, cache_folder, data_folder
from bench.commands.given_networks import check_recorded, requested_weights
from bench.commands.paths import checked_folder
from bench.commands.request import Request, Resources, configuration, requested_plugins
from bench.errors import RequestError
from bench.execution.specs import ONE_PROCESS, ExecutorSpec, parse_executor
from bench.machine.devices import choose_device, device_name
from bench.machine.environment import describe_environment
from bench.plugins.discovery import discover
from bench.progress import Reporter
from bench.records.changes import changed_code
from bench.records.folder import RunFolder
from bench.records.given_weights import WEIGHTS, summarized
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.stages.failed_tasks import FailedTasks
from bench.stages.observation import Observer
from bench.store.artifacts import ArtifactStore
from bench.store.keys import content_key
from bench.store.weights import KIND, Weights
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig
from bench.sweep.grid import Grid
from bench.sweep.plan import Plan, Planner
from bench.sweep.runner import Runner
from bench.sweep.shard import Shard
from bench.sweep.shares import share_of
from bench.sweep.task_times import TaskTimes

logger = logging.getLogger("bench")


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run that is ready to start.

    Attributes:
        runner: runner of the request's grid into its folder.
        environment: id of this machine's environment in the folder.
        device: device and its model name, as text.
        weights: trained networks that replace training; None for none.
        executor: what does the tasks before the runner asks for them.
        failed: tasks that failed in this run.
    """

    runner: Runner
    environment: str
    device: str
    weights: Weights | None
    executor: ExecutorSpec
    failed: FailedTasks

    @property
    def folder(self) -> RunFolder:
        """The folder of the results."""
        return self.runner.folder


@dataclass(frozen=True)
class Destination:
    """The name and the folder of a run.

    Attributes:
        name: name of the preset or of the configuration.
        path: folder of the run, or of all runs.
        is_parent: whether the path is that of all runs.
        command: name of the command; empty for `bench run`.
        shard: shard of the grid that is run; None for the whole grid.
    """

    name: str
    path: Path
    is_parent: bool
    command: str = ""
    shard: Shard | None = None

    @classmethod
    def of(
        cls, name: str, resources: Resources, command: str = "", shard: Shard | None = None
    ) -> Self:
        """The folder that the resources of a request name, or else one among those of all runs."""
        path, is_parent = resources.out or RUNS, resources.out is None
        return cls(name, path, is_parent=is_parent, command=command, shard=shard)

    @property
    def title(self) -> str:
        """Start of the names of the folders of such runs."""
        return f"{self.command}-{self.name}" if self.command else self.name

    def folder(self, key: str) -> Path:
        """The folder of a run of this content key.

        Raises:
            RequestError: it cannot be made.
        """
        if not self.is_parent:
            return self.path

        suffix = f"-{self.shard.folder_suffix}" if self.shard else ""
        return checked_folder("--out", self.path / f"{self.title}-{key[:8]}{suffix}")


def prepare(request: Request, progress: Reporter, command: str = "") -> PreparedRun:
    """Check every part of a request and open its folder.

    Args:
        request: options of the command.
        progress: reporter that shows the progress of long steps.
        command: name of the command, which begins the folder's name and is part of the run's
            configuration; empty for `bench run`.

    Raises:
        RequestError: the request is wrong; nothing was computed.
    """
    name, config = configuration(request)
    discover(requested_plugins(request, config))

    destination = Destination.of(name, request.resources, command, request.shard)
    return prepare_run(config, request.resources, progress, destination)


def prepare_run(
    config: RunConfig, resources: Resources, progress: Reporter, destination: Destination
) -> PreparedRun:
    """Check a configuration and open its folder; all plugins must be imported.

    Args:
        config: configuration of the run.
        resources: device and folders.
        progress: reporter that shows the progress of long steps.
        destination: name and folder of the run.

    Raises:
        RequestError: the configuration is wrong; nothing was computed.
    """
    grid = Grid.of(config)
    weights = Weights.open(resources.weights) if resources.weights else None
    context = _context(resources, weights, progress)

    executor = parse_executor(resources.executor)
    return prepare_grid(grid, config, context, destination, weights, executor)


def prepare_grid(
    grid: Grid,
    config: RunConfig,
    context: TaskContext,
    destination: Destination,
    weights: Weights | None = None,
    executor: ExecutorSpec = ONE_PROCESS,
) -> PreparedRun:
    """Check that a grid can be run and open its folder.

    Args:
        grid: cells of the run.
        config: settings of the evaluation.
        context: device, data sets and cache.
        destination: name and folder of the run.
        weights: trained networks that replace training; None for none.
        executor: what does the tasks of the run.

    Raises:
        RequestError: the grid cannot be run; nothing was computed.
    """
    for dataset in grid.datasets:
        context.dataset(dataset).test_images(config.n)
    observer = Observer()
    grid = grid.observed(
        lambda plugin, dataset: observer.observed(plugin, context.dataset(dataset).info)
    )
    # After the plugins were observed: what code keeps in memory is read only once.
    grid.check_networks(lambda dataset: context.dataset(dataset).info)

    resolved = _resolved_configuration(grid, config, context, destination.command)
    if weights:
        # Other weights give other numbers, which must not be mixed in one folder.
        plan = _whole_plan(grid, config, context)
        resolved[WEIGHTS] = requested_weights(weights, plan, destination.name)

    path = destination.folder(content_key(summarized(resolved)))
    folder = open_folder(path, {"preset": destination.name, **resolved}, destination.title)
    # The shard is no part of the configuration: its folder is that of the whole run, begun.
    grid = share_of(grid, config, destination.shard) if destination.shard else grid
    failed = FailedTasks()
    local = LocalExecutor(context, failed, executor.task_threads)
    times = TaskTimes() if executor.dispatches else None
    runner = Runner(grid, config, context, local, folder, times)
    tasks = CellTasks(local, context, config)
    check_recorded(folder, grid.whole, tasks, resolved.get(WEIGHTS, {}))
    environment = folder.save_environment(describe_environment(context.device))
    device = f"{context.device} ({device_name(context.device)})"

    return PreparedRun(
        runner=runner,
        environment=environment,
        device=device,
        weights=weights,
        executor=executor,
        failed=failed,
    )


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


def _context(resources: Resources, weights: Weights | None, progress: Reporter) -> TaskContext:
    device = choose_device(resources.device)
    given = {KIND: weights.paths} if weights else None
    store = ArtifactStore(cache_folder(resources.cache), given)

    return TaskContext(device, store, data_folder(resources.data), progress)


def _resolved_configuration(
    grid: Grid, config: RunConfig, context: TaskContext, command: str
) -> dict[str, Any]:
    """Everything that distinguishes a run from others, as JSON."""
    named = {name: list(context.dataset(name).class_names) for name in grid.datasets}
    class_names = {name: names for name, names in named.items() if names}
    # Data sets of plugins are named by a spec; those of a program by nothing but their content.
    images = {
        name: [split.digest for split in (data.test, data.train) if split is not None]
        for name, data in context.given.items()
    }
    resolved = {
        "device": context.device.type,
        "plugins": grid.identities(),
        **config.model_dump(mode="json"),
        **({"class_names": class_names} if class_names else {}),
        **({"images": images} if images else {}),
    }
    return {**resolved, "command": command} if command else resolved


def _whole_plan(grid: Grid, config: RunConfig, context: TaskContext) -> Plan:
    """The plan of all cells, recorded or not."""
    tasks = CellTasks(LocalExecutor(context), context, config)
    return Planner(grid, tasks, context).plan(lambda _: False)
