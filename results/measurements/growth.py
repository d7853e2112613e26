"""Table of the cost of large grids: what the harness adds to cells whose own work takes no time.

The plugins are those of `empty_plugins.py`: an attack that returns the images, defenses that do so
too, and one layer as the classifier, on a few digits. A grid has 5 defenses, 10 attacks
and 2 threat models, at 5 or 10 budgets, with up to 5 seeds. Each row is a new process:

- `run`: neither the cache nor the folder of the run has anything;
- `cached`: the cache has every task, and the folder of the run is new;
- `recorded`: the folder of the run has every cell.

Each process prepares the run, plans it, computes the clean accuracies, runs all cells and writes
the tables, as `bench run --no-latency --no-plots --no-html` does. The memory is the peak resident
set of the process; what it holds once everything is imported and nothing is prepared stands beside.

    python results/measurements/growth.py
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import setting
import torch

from bench.commands.preparation import prepare
from bench.commands.request import Request, Resources
from bench.progress import Silent
from bench.report import write_tables

PLUGINS = Path(__file__).with_name("empty_plugins.py")

SHAPES = {500: (5, 1), 1000: (10, 1), 2000: (10, 2), 5000: (10, 5)}
"""Number of budgets and of seeds by number of cells."""

HEADINGS = (
    "cells",
    "process",
    "prepare, s",
    "plan, s",
    "clean, s",
    "cells, s",
    "ms a cell",
    "tables, s",
    "all, s",
    "imported, MiB",
    "peak, MiB",
)

CHILD = "--child"


def request(cells: int, images: int, cache: Path, out: Path) -> Request:
    """The request of a grid with that many cells."""
    budgets, seeds = SHAPES[cells]
    axes = {
        "datasets": "digits",
        "classifiers": "nearest_mean",
        "defenses": ",".join(f"same:number={number}" for number in range(5)),
        "attacks": ",".join(f"unchanged:number={number}" for number in range(10)),
        "eps": ",".join(f"{number / 100:g}" for number in range(1, 1 + budgets)),
        "threats": "graybox,whitebox",
        "seeds": ",".join(map(str, range(seeds))),
    }
    scalars = {"n": str(images), "batch_size": str(images), "draws": "1", "convergence": "0"}
    resources = Resources("cpu", data=None, cache=cache, out=out)

    return Request(axes, scalars, {}, None, None, (str(PLUGINS),), resources)


def child(cells: int, images: int, cache: Path, out: Path) -> None:
    """Do a whole run, and print its times and its memory as JSON."""
    torch.set_num_threads(1)
    seconds: dict[str, float] = {}
    imported = peak()
    with timed(seconds, "prepare"):
        prepared = prepare(request(cells, images, cache, out), Silent())
    with timed(seconds, "plan"):
        plan = prepared.runner.plan()
    with timed(seconds, "clean"):
        list(prepared.runner.clean_accuracies())
    with timed(seconds, "run"):
        for record in prepared.runner.run(prepared.environment):
            if record.status != "ok":
                sys.exit(f"{record.labels}: {record.reason}")
    ran = peak()
    with timed(seconds, "tables"):
        write_tables(prepared.folder)
    if plan.cells != cells:
        sys.exit(f"{plan.cells} cells instead of {cells}")
    print(json.dumps({**seconds, "imported": imported, "ran": ran, "peak": peak()}))


@contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Note the time of the block."""
    start = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - start


def peak() -> float:
    """The peak resident set of this process, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(*arguments: object) -> dict[str, float]:
    """What a run in a new process takes."""
    command = [sys.executable, __file__, CHILD, *map(str, arguments)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    """Print the table as Markdown."""
    logging.disable(logging.INFO)
    if sys.argv[1:2] == [CHILD]:
        cells, images, cache, out = sys.argv[2:]
        return child(int(cells), int(images), Path(cache), Path(out))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", default=",".join(map(str, SHAPES)))
    parser.add_argument("--images", type=int, default=4)
    given = parser.parse_args()
    given.threads, given.clock = 1, "wall"
    setting.say(f"{given.images} images; {setting.machine(given)}\n")
    setting.row(*HEADINGS)
    setting.say("|--:|:--|" + "--:|" * (len(HEADINGS) - 2))
    for cells in map(int, given.cells.split(",")):
        with tempfile.TemporaryDirectory() as scratch:
            for process, out in (("run", "a"), ("cached", "b"), ("recorded", "b")):
                show(
                    cells,
                    process,
                    measured(cells, given.images, f"{scratch}/cache", f"{scratch}/{out}"),
                )
    return None


def show(cells: int, process: str, result: dict[str, float]) -> None:
    """Print a row of the table."""
    parts = ("prepare", "plan", "clean", "run", "tables")
    total = sum(result[part] for part in parts)
    prepare_, plan, clean, run, tables = (f"{result[part]:.1f}" for part in parts)
    each = f"{1000 * result['run'] / cells:.2f}"
    memory = (f"{result['imported']:.0f}", f"{result['peak']:.0f}")
    setting.row(cells, process, prepare_, plan, clean, run, each, tables, f"{total:.1f}", *memory)


if __name__ == "__main__":
    main()
