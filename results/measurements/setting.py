"""Shared parts of the measurements: networks of a preset, a cache without results, quartiles."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.plugins.discovery import discover
from bench.progress import Silent
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.store.artifacts import ArtifactStore
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig, resolve
from bench.sweep.grid import Grid
from bench.sweep.presets import read_preset

Clock = Callable[[], float]
CLOCKS: Mapping[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""Wall time, or processor time of this process; the two agree for one thread on an idle machine."""


@dataclass
class Setting:
    """A configuration with the objects that run it."""

    config: RunConfig
    context: TaskContext
    executor: LocalExecutor
    tasks: CellTasks

    @property
    def cells(self) -> list[Cell]:
        """All cells, in the order of a run."""
        return list(Grid.of(self.config).cells())


def prepared(preset: str, overrides: dict[str, Any], cache: Path, data: Path) -> Setting:
    """The setting of a preset with some options replaced, on the CPU.

    Networks that the cache lacks are trained.
    """
    discover()
    return _set(resolve(read_preset(preset), overrides, preset), cache, data)


def renewed(setting: Setting, cache: Path, **changes: Any) -> Setting:
    """The setting with another cache, nothing loaded, and changes to the configuration."""
    return _set(setting.config.model_copy(update=changes), cache, setting.context.data)


def _set(config: RunConfig, cache: Path, data: Path) -> Setting:
    context = TaskContext(torch.device("cpu"), ArtifactStore(cache), data, Silent())
    executor = LocalExecutor(context)
    return Setting(config, context, executor, CellTasks(executor, context, config))


def trained_cache(setting: Setting, into: Path) -> Path:
    """A new cache that holds the setting's trained networks and nothing else."""
    shutil.rmtree(into, ignore_errors=True)
    store = ArtifactStore(into)
    for cell in setting.cells:
        networks = setting.tasks.networks(cell)
        for network in (networks.classifier, networks.defense):
            target = store.path("network", network.key)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(setting.context.store.path("network", network.key), target)
    return into


def options(about: str | None, preset: str = "mnist") -> argparse.ArgumentParser:
    """A parser with the options of all scripts: preset, cache, data, threads, clock."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--preset", default=preset)
    parser.add_argument(
        "--cache",
        type=Path,
        default=os.environ.get("BENCH_CACHE"),
        help="folder of trained networks",
    )
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("BENCH_DATA"), help="folder of the data sets"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="clock of the times; cpu if other processes use the machine",
    )
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the options and set the number of threads; `now` of the result is the clock."""
    given = parser.parse_args()
    if given.cache is None:
        parser.error(
            "give --cache or BENCH_CACHE: the folder of trained networks, which may be empty"
        )
    given.data = Path(given.data or given.cache)
    given.now = CLOCKS[given.clock]
    torch.set_num_threads(given.threads)
    return given


def machine(given: argparse.Namespace) -> str:
    """Processor, threads, PyTorch version and clock of the measurement, as text."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _lines("/proc/cpuinfo")
            if line.startswith("model name")
        ),
        platform.processor() or platform.machine(),
    )
    return f"{model}, CPU, {given.threads} threads, PyTorch {torch.__version__}, {given.clock} time"


def quartiles(values: Sequence[float], digits: int = 3) -> str:
    """Text `median [first quartile, third quartile]`; a single value stands alone."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def row(*values: object) -> None:
    """Print a line of a Markdown table."""
    say(f"| {' | '.join(map(str, values))} |")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).is_file() else []
