"""`bench run --executor local:processes=2`: the numbers of one process, whatever befalls it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.execution import pool as process_pool
from tests.conftest import PLUGINS
from tests.forked import ForkedCommand
from tests.plugins.mortal import STAGES

pytestmark = pytest.mark.slow

ONE, TWO = "local:threads=1", "local:processes=2:threads=1"
SHORT = ("--n", 12, "--draws", 2, "--convergence", 4, "--no-latency", "--no-plots", "--no-html")
FGSM = ("--attacks", "fgsm", "--eps", 0.1, "--threats", "whitebox")


@dataclass(frozen=True)
class Ended:
    """A run that has ended, with the log of its plugins."""

    folder: Path
    code: int
    err: str
    log: Counter[str]

    def cells(self) -> dict[str, bytes]:
        found = (self.folder / "out" / "cells").rglob("*")
        return {path.name: path.read_bytes() for path in found if path.is_file()}

    def reasons(self, how: str) -> set[str]:
        """The reasons of the failed cells of a mortal defense."""
        records: Iterator[dict[str, Any]] = (
            json.loads(content) for name, content in self.cells().items() if name.endswith(".json")
        )
        return {
            record["reason"]
            for record in records
            if record["status"] == "failed" and f"how={how}" in json.dumps(record["labels"])
        }


@pytest.fixture(scope="module")
def grid(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short configuration, and the plugins with a helper module of their own."""
    folder = tmp_path_factory.mktemp("grid")
    text = tiny.read_text().replace("epochs = 12", "epochs = 3").replace("steps = 5", "steps = 2")
    (folder / "short.toml").write_text(text)
    chain = (PLUGINS / "my_chain.py").read_text().replace("my_chain", "{NAME}")
    (folder / "chained_name.py").write_text('NAME = "chained"\n')
    chain = chain.replace('"{NAME}"', "NAME")
    (folder / "chained.py").write_text(f"from chained_name import NAME\n{chain}")
    return folder


def defenses(folder: Path, *more: str) -> str:
    mortal = f"mortal:folder=[{folder}]"
    chained = f"chained:defenses=[{mortal},bitdepth]"
    return ",".join(["gaussian_noise", mortal, chained, *(f"{mortal}:how={how}" for how in more)])


def with_forks() -> None:
    """Let processes of the pool begin as forks, which need not import everything again."""
    os.setsid()
    setattr(process_pool, "_START", "fork")  # noqa: B010 - a constant


def start(
    grid: Path,
    folder: Path,
    executor: str,
    names: str,
    *options: object,
    before: Callable[[], object] = with_forks,
) -> ForkedCommand:
    folder.mkdir(exist_ok=True)
    return ForkedCommand.start(
        folder,
        *("run", "--config", grid / "short.toml", "--out", "out", "--cache", "cache"),
        *("--plugin", PLUGINS / "mortal.py", "--plugin", grid / "chained.py"),
        *("--defenses", names, "--executor", executor, *SHORT, *options),
        before=before,
    )


def ended(command: ForkedCommand, log: Path) -> Ended:
    """The end of a command, and what was logged meanwhile; the log is removed."""
    code, err = command.wait()
    lines = Counter(log.read_text().splitlines())
    log.unlink()
    return Ended(command.folder, code, err, lines)


@pytest.fixture(scope="module")
def runs(grid: Path) -> tuple[Ended, Ended]:
    """A run by one process, and one by a pool in which processes are killed."""
    local, pool = grid / "local", grid / "pool"
    for kind in STAGES.values():
        (grid / f"died-in-{kind}").touch()
    names = defenses(grid, "raises")
    first = ended(start(grid, local, ONE, names, *FGSM), grid / "log")

    for kind in STAGES.values():
        (grid / f"died-in-{kind}").unlink()
    names = defenses(grid, "raises", "always")
    second = ended(start(grid, pool, TWO, names, *FGSM), grid / "log")

    return first, second


def test_processes_that_are_killed_change_nothing(runs: tuple[Ended, Ended]) -> None:
    """Files of cells are the same byte by byte, those of failed cells too."""
    local, pool = runs
    assert (local.code, pool.code) == (1, 1), local.err + pool.err
    stored = pool.cells()
    assert len(local.cells()) > 3
    assert {name for name, content in local.cells().items() if stored[name] != content} == set()


def test_only_the_task_of_a_killed_process_is_done_again(runs: tuple[Ended, Ended]) -> None:
    local, pool = runs
    again = Counter({line: n for line, n in (pool.log - local.log).items() if "always" not in line})
    assert again.pop("once fit") == 1
    assert {line.split(" of ")[0]: n for line, n in again.items()} == {
        kind: 1 for kind in STAGES.values() if kind != "network"
    }
    assert local.log - pool.log == Counter()


def test_task_whose_process_is_killed_three_times_fails(runs: tuple[Ended, Ended]) -> None:
    _, pool = runs
    assert pool.log["always fit"] == 3
    assert len(pool.reasons("always")) == 1
    reason = pool.reasons("always").pop()
    assert "its process was killed (SIGKILL), as happens when memory is used up" in reason
    assert reason.endswith("given up after 3 tries")
    assert pool.err.count("it is done again") == 4 + 2


def test_plugin_that_raises_is_not_tried_again(runs: tuple[Ended, Ended]) -> None:
    local, pool = runs
    assert local.log["raises fit"] == pool.log["raises fit"] == 1
    assert len(pool.reasons("raises")) == 1
    assert pool.reasons("raises") == local.reasons("raises")


def waiting(grid: Path, folder: Path, before: Callable[[], object] = with_forks) -> ForkedCommand:
    names = f"mortal:folder=[{folder}]:how=waits"
    return start(grid, folder, TWO, names, *FGSM, before=before)


def others(command: ForkedCommand) -> list[str]:
    """The command lines of the other processes in the session of a command."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            line = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended meanwhile
            continue
        is_alive = fields[0] != "Z" and int(entry.name) != command.process.pid
        if is_alive and int(fields[3]) == command.process.pid:
            found.append(line)
    return found


def until(condition: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")


@needs_proc
def test_interruption_while_workers_start_ends_them_in_silence(grid: Path, tmp_path: Path) -> None:
    command = waiting(grid, tmp_path, os.setsid)
    until(lambda: any("spawn_main" in line for line in others(command)))
    os.killpg(command.process.pid or 0, signal.SIGINT)  # as Ctrl-C does on a terminal
    code, err = command.wait()
    assert code == 130
    assert "to continue, run the same command again: bench run" in err
    assert "Traceback" not in err
    until(lambda: not others(command), 20)


@needs_proc
def test_termination_during_a_training_leaves_nothing_behind(grid: Path, tmp_path: Path) -> None:
    command = waiting(grid, tmp_path)
    until((tmp_path / "log").exists)
    os.kill(command.process.pid or 0, signal.SIGTERM)
    code, err = command.wait()
    assert code == 130
    assert "to continue, run the same command again: bench run" in err
    assert "Traceback" not in err
    until(lambda: not others(command), 20)
    assert not list(tmp_path.rglob("*.partial"))


@needs_proc
def test_run_goes_on_after_the_driver_was_killed(grid: Path, tmp_path: Path) -> None:
    command = waiting(grid, tmp_path)
    networks = tmp_path / "cache" / "network"
    until(lambda: (tmp_path / "log").exists() and list(networks.glob("*.safetensors")))
    command.process.kill()
    command.process.join()
    until(lambda: not others(command), 20)
    trained = {path: path.stat().st_mtime_ns for path in networks.glob("*.safetensors")}

    (tmp_path / "go").touch()
    again = ended(waiting(grid, tmp_path, os.setsid), tmp_path / "log")
    assert again.code == 0, again.err
    assert sum(again.log.values()) == 2
    assert {path: path.stat().st_mtime_ns for path in trained} == trained

    other = tmp_path / "other"
    names = f"mortal:folder=[{tmp_path}]:how=waits"
    undisturbed = ended(start(grid, other, ONE, names, *FGSM), tmp_path / "log")
    assert undisturbed.code == 0, undisturbed.err
    assert undisturbed.cells() == again.cells()
