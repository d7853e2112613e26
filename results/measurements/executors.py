"""Wall times of one run by each executor and as shards, and whether the results are the same.

Each round runs the command once by every way, one after the other, each with an empty cache and
without latency. The shards share a cache and run as many at once as there are slots, which is what
a job array does; their time includes the merge. Every run's cells are compared with those of the
first way, file by file and byte by byte. All tasks use one thread, so that the bits may agree.

    python results/measurements/executors.py --rounds 3 -- --preset quick
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import setting

Way = Callable[[Path], Path]
"""A function that makes the run in an empty folder and returns the folder of the results."""


def bench(*words: str) -> None:
    """Run a command of `bench` with one thread; its output goes to standard error if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"bench {' '.join(words)}\n{done.stdout}\n{done.stderr}")


def run(folder: Path, out: str, arguments: Sequence[str]) -> Path:
    """Run the grid without latency and figures; returns the folder of the results."""
    fixed = ("--no-latency", "--no-plots", "--no-html", "--quiet", "--device", "cpu")
    bench("run", *arguments, *fixed, "--cache", f"{folder / 'cache'}", "--out", f"{folder / out}")
    return folder / out


def by_executor(executor: str, arguments: Sequence[str]) -> Way:
    """The run by one command with an executor."""
    return lambda folder: run(folder, "run", [*arguments, "--executor", executor])


def by_shards(count: int, slots: int, arguments: Sequence[str]) -> Way:
    """The run by a job array of `count` shards, `slots` of them at once, and a merge."""

    def made(folder: Path) -> Path:
        def shard(number: int) -> Path:
            name = f"shard-{number}"
            return run(folder, name, [*arguments, "--shard", f"{number}/{count}"])

        with ThreadPoolExecutor(slots) as pool:
            shards = list(pool.map(shard, range(1, count + 1)))
        bench("merge", *map(str, shards), "--out", f"{folder / 'run'}", "--no-plots", "--quiet")
        return folder / "run"

    return made


def cells(run_folder: Path) -> dict[str, bytes]:
    """The contents of the records and outcomes of a run, by file name."""
    return {path.name: path.read_bytes() for path in (run_folder / "cells").iterdir()}


def differences(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """The names of the files that are not the same in two runs, sorted."""
    names = sorted({*expected, *found})
    return [name for name in names if expected.get(name) != found.get(name)]


def measured(
    ways: dict[str, Way], rounds: int, scratch: Path
) -> tuple[dict[str, list[float]], dict[str, int], int]:
    """Seconds of each way and round, files that differ by way, and the number of files."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    differing = dict.fromkeys(ways, 0)
    expected: dict[str, bytes] = {}

    for _ in range(rounds):
        for name, way in ways.items():
            folder = Path(tempfile.mkdtemp(dir=scratch))
            start = time.perf_counter()
            result = cells(way(folder))
            seconds[name].append(time.perf_counter() - start)

            expected = expected or result
            differ = differences(expected, result)
            differing[name] += len(differ)
            shutil.rmtree(folder)
            print(f"{name}: {seconds[name][-1]:.1f} s", *differ, file=sys.stderr, flush=True)

    return seconds, differing, len(expected)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("arguments", nargs="*", help="options of `bench run`, after --")
    parser.set_defaults(threads=1, clock="wall")
    given = parser.parse_args()

    slots = given.processes
    ways: dict[str, Way] = {
        "local": by_executor("local:threads=1", given.arguments),
        f"local, {slots} processes": by_executor(
            f"local:processes={slots}:threads=1", given.arguments
        ),
        **({} if given.no_ray else {"ray": by_executor("ray:cpus=1", given.arguments)}),
        f"shards, {given.shards}, {slots} at once": by_shards(given.shards, slots, given.arguments),
    }
    with tempfile.TemporaryDirectory() as scratch:
        seconds, differing, files = measured(ways, given.rounds, Path(scratch))

    print(f"{given.rounds} rounds, {os.cpu_count()} cores; {setting.machine(given)}\n")
    print("| way | seconds, median [least, most] | times as fast as local | files that differ |")
    print("|:--|--:|--:|--:|")
    local = statistics.median(seconds["local"])
    for name, each in seconds.items():
        middle = statistics.median(each)
        spread = f"{middle:.1f} [{min(each):.1f}, {max(each):.1f}]"
        print(f"| {name} | {spread} | {local / middle:.2f} | {differing[name]} of {files} a run |")


if __name__ == "__main__":
    main()
