"""Shared fixtures: the command line here or in a process of its own, a cache, tiny networks."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import vgg

from bench import entry
from bench.plugins.discovery import discover
from bench.progress import Silent
from bench.stages.context import TaskContext
from bench.store.artifacts import ArtifactStore
from bench.sweep.config import RunConfig

PLUGINS = Path(__file__).parent / "plugins"
TINY = """
datasets = ["digits"]
classifiers = ["cnn"]
defenses = ["none", "convae"]
attacks = ["fgsm"]
eps = [0.1, 0.3]
n = 60
batch_size = 30
draws = 1

[latency]
batch_sizes = [1, 4]
warmup = 1
min_calls = 5
min_seconds = 0.001
max_seconds = 0.2

[parameters.cnn]
width = 8
hidden = 32
epochs = 12
batch_size = 64

[parameters.pgd]
steps = 5

[parameters.convae]
width = 4
steps = 60
batch_size = 32

[parameters.puvae]
channels = 4
kernel = 3
stride = 2
hidden = 32
reconstruction_weight = 1.0
epochs = 12
batch_size = 64
learning_rate = 3e-3

[parameters.defensegan]
latent = 8
width = 4
critic_width = 4
critic_steps = 1
iterations = 300
learning_rate = 1e-3
restarts = 2
steps = 10
start_std = 1.0
"""
"""A configuration that trains every built-in method on the digits in seconds; nothing gets good."""

RUNS = {"run", "latency"}
"""Commands that compute and then draw."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

discover()

_runtime = tempfile.TemporaryDirectory(prefix="bench-")

if "PYTEST_XDIST_WORKER" in os.environ:  # several test processes share the cores
    _threads = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    torch.set_num_threads(_threads)
    os.environ["OMP_NUM_THREADS"] = str(_threads)  # for processes that tests start
    # Workers of Ray would give way to the other test processes.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - as Ray spells it
    # The device's lock lies here: test processes do not wait for each other.
    os.environ["XDG_RUNTIME_DIR"] = _runtime.name


def pytest_unconfigure() -> None:
    """No folder is left behind: a test process ends without collecting what it holds."""
    _runtime.cleanup()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come first, so that no process waits for one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """The collector leaves out what was imported: each measurement collects, half a second else."""
    gc.collect()
    gc.freeze()


@dataclass
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One artifact cache for all tests that do not test the cache, in all test processes."""
    base = tmp_path_factory.getbasetemp()
    path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny configuration as a file."""
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def bench(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    session_cache: Path,
) -> Iterator[Callable[..., Finished]]:
    """Run `bench` in this process, in an empty working directory, with the session's cache.

    Figures and the page take long beside a small run, so a test has to ask for them with `plots`.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(session_cache))
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "no-data"))
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # restored at the end
    handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def call(*arguments: object, plots: bool = False) -> Finished:
        without = ["--no-plots", "--no-html"] if {*arguments[:1]} & RUNS and not plots else []
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments), *without])
        capsys.readouterr()
        try:
            entry.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def bench_process(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `bench` as a process of its own; the cache is the caller's to choose."""

    def start(
        *arguments: object, cwd: Path = tmp_path, **environment: str
    ) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-c",
            "from bench.entry import main; main()",
            *map(str, arguments),
        ]
        return subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "BENCH_DATA": str(tmp_path / "no-data"), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def context(session_cache: Path, tmp_path: Path) -> TaskContext:
    """A context on the CPU with the session's cache."""
    return TaskContext(
        torch.device("cpu"), ArtifactStore(session_cache), tmp_path / "no-data", Silent()
    )


@pytest.fixture
def tiny_config(tiny: Path) -> RunConfig:
    """The tiny configuration, resolved."""
    from bench.sweep.config import read_file, resolve

    return resolve(read_file(tiny), {}, "tiny")


@pytest.fixture
def plugins() -> Path:
    """The folder of plugins written for tests."""
    return PLUGINS


class _Convolutions(nn.Module):
    """The convolutions of torchvision's VGG, which begin as there."""

    def __init__(self, features: nn.Module, **_: object) -> None:
        super().__init__()
        self.features = features
        for layer in features.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                layer.bias.data.zero_()  # type: ignore[union-attr]


@pytest.fixture
def light_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have VGG made without ImageNet's head, which `vgg16` throws away: 124 million weights."""
    monkeypatch.setattr(vgg, "VGG", _Convolutions)
