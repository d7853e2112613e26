"""Tables of the time of a sweep over images and cells, and of PuVAE's latency over classes.

A sweep evaluates all cells of the preset in this process, with trained networks and an otherwise
empty cache. It includes the preset's convergence check, on 50 images at most for every n. The first
sweep of each size is not counted. To vary the number of cells, PGD runs at more and more budgets.

A straight line is fitted to each table. Its value at zero is the fixed cost: reading configuration,
networks and data, and the work that does not depend on the number of cells (clean images through
every defense) or images. PuVAE is untrained and has the sizes of the preset.

    python results/measurements/scaling.py --cache CACHE
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import setting
import torch

from bench.contracts import DataInfo
from bench.plugins.configured import configure
from bench.registry import DEFENSES

CLASSES = (2, 5, 10, 20, 50, 100)
WARMUP = 3


def repeated(
    runs: Mapping[int, Callable[[], object]], repeats: int, now: setting.Clock, warmup: int = 1
) -> dict[int, list[float]]:
    """Seconds of every run by its size; the runs take turns, `warmup` rounds are not counted."""
    seconds: dict[int, list[float]] = {size: [] for size in runs}
    for number in range(warmup + repeats):
        for size, run in runs.items():
            start = now()
            run()
            if number >= warmup:
                seconds[size].append(now() - start)
    return seconds


def swept(
    given: argparse.Namespace, overrides: Mapping[str, Any], scratch: Path
) -> Callable[[], object]:
    """A function that runs a whole sweep in a new cache with trained networks only.

    The caches are made beforehand, one for each call.
    """
    source = setting.prepared(given.preset, dict(overrides), given.cache, given.data)
    waiting = [
        setting.trained_cache(source, scratch / str(number)) for number in range(given.repeats + 1)
    ]

    def run() -> None:
        used = setting.renewed(source, waiting.pop())
        for cell in used.cells:
            used.tasks.result(cell, used.tasks.networks(cell))

    return run


def show(unit: str, seconds: Mapping[int, Sequence[float]], scale: float = 1.0) -> None:
    """Print one row per size, with seconds times `scale`, and the line fitted to all points."""
    for size, values in seconds.items():
        scaled = [scale * value for value in values]
        setting.row(unit, size, setting.quartiles(scaled), f"{float(np.median(scaled)) / size:.4f}")
    x = np.concatenate([np.full(len(values), float(size)) for size, values in seconds.items()])
    y = scale * np.concatenate([np.asarray(values) for values in seconds.values()])
    slope, fixed = np.polyfit(x, y, 1)
    explained = 1 - ((y - fixed - slope * x) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    setting.row(unit, "line", f"{fixed:.3f} and {slope:.4f} for each", f"R^2 {explained:.4f}")


def sweeps(given: argparse.Namespace, scratch: Path) -> None:
    """Print the time of the sweep over images and over cells."""
    images = {
        n: swept(given, {"n": n, "draws": 1}, scratch / f"images{n}")
        for n in map(int, given.images.split(","))
    }
    cells: dict[int, Callable[[], object]] = {}
    for count in map(int, given.budgets.split(",")):
        budgets = tuple(round(0.02 * (1 + i), 4) for i in range(count))
        overrides = {
            "n": given.n,
            "draws": 1,
            "attacks": ("pgd",),
            "eps": budgets,
            "attack_eps": {},
        }
        size = len(setting.prepared(given.preset, overrides, given.cache, given.data).cells)
        cells[size] = swept(given, overrides, scratch / f"cells{count}")
    setting.row("over", "how many", "seconds", "seconds each")
    setting.say("|:--|--:|--:|--:|")
    show("images", repeated(images, given.repeats, given.now))
    show(f"cells ({given.n} images)", repeated(cells, given.repeats, given.now))


def classes(given: argparse.Namespace) -> None:
    """Print the milliseconds of a call of PuVAE over the number of classes."""
    config = setting.prepared(given.preset, {}, given.cache, given.data).config
    plugin = configure(DEFENSES, "puvae", config.parameters).plugin
    setting.say("")
    setting.row("PuVAE, classes at", "how many", "ms a call", "ms a class")
    setting.say("|:--|--:|--:|--:|")
    for batch in (1, 32):
        runs: dict[int, Callable[[], object]] = {}
        for count in CLASSES:
            module = plugin.build(DataInfo((1, 28, 28), count)).eval().requires_grad_(False)
            images = torch.rand(batch, 1, 28, 28)
            runs[count] = lambda module=module, images=images: module(images)
        with torch.no_grad():
            show(f"batch {batch}", repeated(runs, given.calls, given.now, WARMUP), scale=1000.0)


def main() -> None:
    """Print both tables as Markdown."""
    parser = setting.options(__doc__, preset="quick")
    parser.add_argument("--images", default="50,100,200,400")
    parser.add_argument(
        "--budgets", default="1,2,4,8", help="numbers of epsilons, separated by commas"
    )
    for name, default in (("n", 100), ("repeats", 3), ("calls", 30)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = setting.parsed(parser)
    logging.disable(logging.INFO)
    setting.say(f"preset {given.preset}, {given.repeats} repeats; {setting.machine(given)}\n")
    with tempfile.TemporaryDirectory() as scratch:
        sweeps(given, Path(scratch))
    classes(given)


if __name__ == "__main__":
    main()
