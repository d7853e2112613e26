"""Ray, on a cluster of two nodes on this machine: the same artifacts as here, whatever dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from bench.errors import PluginFault, RequestError
from bench.execution.jobs import Finished, ShippedPlugin, WorkerSetup
from bench.execution.shipping import job_of
from bench.execution.specs import RaySpec
from bench.execution.temporary_folders import folders_here
from bench.plugins.configured import configure
from bench.plugins.counted import digest_of_file
from bench.plugins.discovery import discover
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
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
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
    discover([str(path)])
    return path


@pytest.fixture(scope="module")
def prepared(
    cluster: Any, plugin: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RayWorkers, TaskContext]]:
    """Workers that have the plugin, and a context with their store.

    The plugin comes as content: its files have gone from where they were.
    """
    before = set(folders_here("bench-worker"))
    folder = tmp_path_factory.mktemp("ray")
    store = ArtifactStore(folder / "store")
    shipped = (ShippedPlugin(str(plugin), digest_of_file(plugin)),)
    setup = WorkerSetup("cpu", store.root, None, folder / "no-data", shipped, threads=1)
    workers = RayWorkers(setup, store, RaySpec())
    aside = plugin.parent.rename(folder / "aside")
    yield workers, TaskContext(torch.device("cpu"), store, setup.data, Silent())
    workers.close()
    aside.rename(plugin.parent)
    assert set(folders_here("bench-worker")) <= before


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


def remotely(workers: RayWorkers, context: TaskContext, config: RunConfig) -> dict[str, str]:
    """The digests of a chain whose missing artifacts workers make."""

    def made(task: Task) -> str:
        if context.store.load(task.kind, task.key) is None:
            finished = ended(workers, task)[task.key]
            assert finished.ending == "made", finished
        artifact = context.store.load(task.kind, task.key)
        assert artifact is not None
        return artifact.digest

    return dict(chain(context, config, made))


def locally(folder: Path, config: RunConfig) -> tuple[TaskContext, dict[str, str]]:
    """A context of this process with its own store, and the digests of a chain made in it."""
    context = TaskContext(torch.device("cpu"), ArtifactStore(folder), folder / "data", Silent())
    return context, dict(chain(context, config, LocalExecutor(context, threads=1).digest))


Prepared = tuple[RayWorkers, TaskContext]


def waiting(context: TaskContext, folder: Path) -> list[Task]:
    """Two tasks that wait for the file `go` in a folder, and write the numbers of processes."""
    return [train(context, f"ray_waiting:folder=[{folder}]:name={name}") for name in "ab"]


def test_the_artifacts_are_those_of_this_process(
    prepared: Prepared, tmp_path: Path, tiny_config: RunConfig
) -> None:
    workers, context = prepared
    assert workers.slots == 2
    assert remotely(workers, context, tiny_config) == locally(tmp_path, tiny_config)[1]


def test_a_fault_of_a_plugin_reads_as_it_does_here(prepared: Prepared) -> None:
    workers, context = prepared
    task = train(context, "ray_raising")
    with pytest.raises(PluginFault, match="the plugin has a fault") as local:
        LocalExecutor(context, threads=1).artifact(task)
    finished = ended(workers, task)[task.key]
    assert (finished.ending, finished.text) == ("failed", str(local.value))


def waited_for(path: Path) -> str:
    end = time.monotonic() + 60
    while not path.exists() or not path.read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    return path.read_text()


def test_a_killed_process_loses_its_job_only(prepared: Prepared, tmp_path: Path) -> None:
    workers, context = prepared
    killed, other = waiting(context, tmp_path)
    for task in (killed, other):
        workers.submit(job_of(task))
    os.kill(int(waited_for(tmp_path / "a.pid")), signal.SIGKILL)
    (lost,) = workers.finished()
    assert (lost.key, lost.ending) == (killed.key, "lost")
    assert "worker died" in lost.text

    (tmp_path / "go").touch()
    (made,) = workers.finished()
    assert (made.key, made.ending) == (other.key, "made")
    assert ended(workers, killed)[killed.key].ending == "made"


def test_a_task_that_fits_on_no_node_is_refused(cluster: Any, prepared: Prepared) -> None:
    _, context = prepared
    setup = WorkerSetup("cpu", context.store.root, None, context.data, threads=1)
    with pytest.raises(RequestError, match=r"needs 7 CPU.* no node has that .*1 CPU and 0 GPU"):
        RayWorkers(setup, context.store, RaySpec(cpus=7))


def test_a_removed_node_loses_its_jobs_only(
    cluster: Any, prepared: Prepared, tmp_path: Path
) -> None:
    """The cluster has one node less afterwards."""
    workers, context = prepared
    tasks = {task.key: task for task in waiting(context, tmp_path)}
    for task in tasks.values():
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
    assert {lost.key, made.key} == {*tasks}

    assert workers.slots == 1
    assert ended(workers, tasks[lost.key])[lost.key].ending == "made"


def test_workers_without_the_store_are_sent_what_they_need(
    cluster: Any, tmp_path: Path, tiny_config: RunConfig
) -> None:
    """The network is a given one, as with `--pretrained`, whose folder the workers lack too.

    It comes last, since processes of these workers take the room of those of the others.
    """
    other, expected = locally(tmp_path / "local", tiny_config)
    networks = (other.store.root / "network").glob("*.safetensors")
    given = {"network": {path.stem: path for path in networks}}
    store = ArtifactStore(tmp_path / "here", given)
    here = TaskContext(other.device, store, other.data, Silent())

    before = set(folders_here("bench-worker"))
    missing = tmp_path / "elsewhere"
    setup = WorkerSetup("cpu", missing, missing / "weights", here.data, threads=1)
    workers = RayWorkers(setup, store, RaySpec(processes=1))
    try:
        assert workers.slots == 1
        assert remotely(workers, here, tiny_config) == expected
        assert set(folders_here("bench-worker")) - before
    finally:
        workers.close()
    assert set(folders_here("bench-worker")) <= before
    assert not missing.exists()
    assert not (store.root / "network").exists()
