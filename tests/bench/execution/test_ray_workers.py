"""Ray, on a cluster of two nodes on this machine: the same artifacts as here, whatever dies."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from bench.errors import PluginFault, RequestError
from bench.execution.jobs import Finished, ShippedPlugin, WorkerSetup
from bench.execution.shipping import job_of
from bench.execution.specs import RaySpec
from bench.plugins.configured import configure
from bench.plugins.counted import digest_of_file
from bench.plugins.discovery import import_plugin
from bench.progress import Silent
from bench.registry import DEFENSES
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.stages.predict import Predict
from bench.stages.references import AdversarialRef, CellNetworks, NetworkRef
from bench.stages.task import Task
from bench.stages.train import Train
from bench.store.artifacts import ArtifactStore
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig
from bench.sweep.grid import Grid

ray = pytest.importorskip("ray", reason="the extra purification-bench[ray] is not installed")

from ray.cluster_utils import Cluster  # noqa: E402

from bench.execution.ray_workers import RayWorkers  # noqa: E402

PLUGIN = '''
from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from bench.contracts import DataInfo, Defense, FitContext
from bench.registry import register_defense
from ray_test_helper import module


@register_defense("ray_waiting")
@dataclass(frozen=True)
class Waiting(Defense):
    """Trains while a file is missing."""

    folder: str = ""
    name: str = ""

    def build(self, data: DataInfo) -> nn.Module:
        return module(data)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        Path(self.folder, f"{self.name}.pid").write_text(str(os.getpid()))
        while not Path(self.folder, "go").exists():
            time.sleep(0.02)
        nn.init.ones_(module.weight)


@register_defense("ray_raising")
@dataclass(frozen=True)
class Raising(Defense):
    """Raises."""

    def build(self, data: DataInfo) -> nn.Module:
        return module(data)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        raise ValueError("the plugin has a fault")
'''
HELPER = """
from torch import nn


def module(data):
    channels = data.shape[0]
    return nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes with a processor each; test processes take turns, since it takes memory."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    with FileLock(shared / "ray.lock"):
        handler = signal.getsignal(signal.SIGTERM)
        cluster = Cluster(
            initialize_head=True, head_node_args={**node, "include_dashboard": False}
        )
        cluster.second = cluster.add_node(**node)
        ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()
        signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin file with a helper beside it, imported here."""
    path = tmp_path_factory.mktemp("ray_plugin") / "ray_test_plugin.py"
    path.with_name("ray_test_helper.py").write_text(HELPER)
    path.write_text(PLUGIN)
    import_plugin(str(path))
    return path


@pytest.fixture
def here(tmp_path: Path) -> TaskContext:
    """A context of this process, with a cache of its own."""
    return TaskContext(
        torch.device("cpu"), ArtifactStore(tmp_path / "here"), tmp_path / "no-data", Silent()
    )


Started = Callable[..., RayWorkers]


@pytest.fixture
def started(cluster: Any, here: TaskContext) -> Iterator[Started]:
    """Starts workers for the cache of this process."""
    with contextlib.ExitStack() as stack:

        def start(*plugins: Path, **changes: Any) -> RayWorkers:
            shipped = tuple(ShippedPlugin(str(path), digest_of_file(path)) for path in plugins)
            setup = WorkerSetup("cpu", here.store.root, None, here.data, shipped, threads=1)
            workers = RayWorkers(replace(setup, **changes), here.store, RaySpec())
            stack.callback(workers.close)
            return workers

        yield start


def ended(workers: RayWorkers, *tasks: Task) -> dict[str, Finished]:
    """How the jobs of tasks ended, by their keys."""
    for task in tasks:
        workers.submit(job_of(task))
    found: list[Finished] = []
    while len(found) < len(tasks):
        found.extend(workers.finished())
    return {each.key: each for each in found}


def train(context: TaskContext, spec: str) -> Train:
    return Train(configure(DEFENSES, spec), context.split("digits", None), seed=0)


def chain(
    context: TaskContext, config: RunConfig, made: Callable[[Task], str]
) -> Iterator[tuple[str, str]]:
    """Network, adversarial set and predictions of a cell, with digests from a function."""
    cell = next(Grid.of(config).cells())
    tasks = CellTasks(LocalExecutor(context), context, config)
    network = tasks.classifier_task(cell)
    yield network.key, made(network)

    classifier = NetworkRef(network.plugin, network.split.info, network.key, made(network))
    none = train(context, "none")
    purifier = NetworkRef(none.plugin, none.split.info, none.key, made(none))
    craft = tasks.craft_task(cell, CellNetworks(classifier, purifier))
    yield craft.key, made(craft)

    adversarial = AdversarialRef(craft.key, made(craft))
    predict = Predict(craft.split, adversarial, classifier, purifier, craft.batch_size)
    yield predict.key, made(predict)


@pytest.mark.parametrize("is_shared", [True, False], ids=["shared store", "own stores"])
def test_the_artifacts_are_those_of_this_process(
    started: Started, here: TaskContext, tmp_path: Path, tiny_config: RunConfig, is_shared: bool
) -> None:
    """With a store of its own, a worker is sent what it needs, and sends back what it made."""
    root = here.store.root if is_shared else tmp_path / "elsewhere"
    workers = started(store=root)
    assert workers.slots == 2

    def remotely(task: Task) -> str:
        if here.store.load(task.kind, task.key) is None:
            finished = ended(workers, task)[task.key]
            assert finished.ending == "made", finished
        artifact = here.store.load(task.kind, task.key)
        assert artifact is not None
        return artifact.digest

    other = TaskContext(here.device, ArtifactStore(tmp_path / "local"), here.data, Silent())
    executor = LocalExecutor(other, threads=1)
    assert dict(chain(here, tiny_config, remotely)) == dict(
        chain(other, tiny_config, executor.digest)
    )
    assert not (tmp_path / "elsewhere").exists()


def test_a_fault_of_a_plugin_reads_as_it_does_here(
    started: Started, here: TaskContext, plugin: Path
) -> None:
    task = train(here, "ray_raising")
    with pytest.raises(PluginFault, match="the plugin has a fault") as local:
        LocalExecutor(here, threads=1).artifact(task)
    finished = ended(started(plugin), task)[task.key]
    assert (finished.ending, finished.text) == ("failed", str(local.value))


def waited_for(path: Path) -> str:
    end = time.monotonic() + 60
    while not path.exists() or not path.read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    return path.read_text()


def test_a_killed_process_loses_its_job_only(
    started: Started, here: TaskContext, plugin: Path, tmp_path: Path
) -> None:
    """The plugin comes as content: its files have gone from where they were."""
    folder = plugin.parent
    workers = started(plugin)
    tasks = [train(here, f"ray_waiting:folder=[{tmp_path}]:name={name}") for name in "ab"]
    jobs = [job_of(task) for task in tasks]
    aside = folder.rename(tmp_path / "aside")
    try:
        for job in jobs:
            workers.submit(job)
        os.kill(int(waited_for(tmp_path / "a.pid")), signal.SIGKILL)
        (lost,) = workers.finished()
        assert (lost.key, lost.ending) == (tasks[0].key, "lost")
        assert "died" in lost.text

        (tmp_path / "go").touch()
        (made,) = workers.finished()
        assert (made.key, made.ending) == (tasks[1].key, "made"), made
        workers.submit(jobs[0])
        (again,) = workers.finished()
        assert again.ending == "made", again
    finally:
        aside.rename(folder)


def test_another_file_of_a_plugin_is_refused(
    started: Started, here: TaskContext, plugin: Path
) -> None:
    other = ShippedPlugin(str(plugin), "0" * 64)
    workers = started(plugins=(other,))
    finished = ended(workers, train(here, "none"))
    (only,) = finished.values()
    assert only.ending == "stopped"
    assert "another file" in only.text


def test_other_software_is_refused(
    started: Started, here: TaskContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bench.execution.ray_workers.software", lambda: {"torch": "0.0", "numpy": "0.0"}
    )
    (only,) = ended(started(), train(here, "none")).values()
    assert only.ending == "stopped"
    assert "torch" in only.text
    assert "in place of 0.0" in only.text


def test_a_task_that_fits_on_no_node_is_refused(cluster: Any, here: TaskContext) -> None:
    setup = WorkerSetup("cpu", here.store.root, None, here.data, threads=1)
    with pytest.raises(RequestError, match="needs 7 CPU.* no node has that .*1 CPU and 0 GPU"):
        RayWorkers(setup, here.store, RaySpec(cpus=7))


def test_a_removed_node_loses_its_jobs_only(
    cluster: Any, started: Started, here: TaskContext, plugin: Path, tmp_path: Path
) -> None:
    """It is the last test of the cluster, which has one node less afterwards."""
    workers = started(plugin)
    tasks = [train(here, f"ray_waiting:folder=[{tmp_path}]:name={name}") for name in "ab"]
    for task in tasks:
        workers.submit(job_of(task))
    for name in "ab":
        waited_for(tmp_path / f"{name}.pid")

    cluster.remove_node(cluster.second)
    (lost,) = workers.finished()
    assert lost.ending == "lost"
    assert "node" in lost.text
    (tmp_path / "go").touch()
    (made,) = workers.finished()
    assert made.ending == "made"
    assert {lost.key, made.key} == {task.key for task in tasks}

    assert workers.slots == 1
    retried = next(task for task in tasks if task.key == lost.key)
    assert ended(workers, retried)[retried.key].ending == "made"
