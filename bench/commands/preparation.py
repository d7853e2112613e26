"""The preparation of a run: every part of its request is checked, then its folder is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.commands.destination import Destination, open_folder
from bench.commands.folders import cache_folder, data_folder
from bench.commands.given_networks import check_recorded, requested_weights
from bench.commands.request import Request, Resources, configuration, requested_plugins
from bench.execution.specs import ONE_PROCESS, ExecutorSpec, parse_executor
from bench.machine.devices import choose_device, device_name
from bench.machine.environment import describe_environment
from bench.plugins.discovery import discover
from bench.progress import Reporter
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
from bench.sweep.shares import share_of
from bench.sweep.task_times import TaskTimes


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
    grid = _checked(grid, config, context)
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


def _checked(grid: Grid, config: RunConfig, context: TaskContext) -> Grid:
    """A grid whose data sets and networks go together, with its plugins as they are built.

    Raises:
        RequestError: they do not.
    """
    for dataset in grid.datasets:
        context.dataset(dataset).test_images(config.n)
    observer = Observer()
    observed = grid.observed(
        lambda plugin, dataset: observer.observed(plugin, context.dataset(dataset).info)
    )
    # After the plugins were observed: what code keeps in memory is read only once.
    observed.check_networks(lambda dataset: context.dataset(dataset).info)

    return observed


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
