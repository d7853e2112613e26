"""`bench run --shard` and `bench merge`: shards merged are the run, and runs grow."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.records.folder import RunFolder
from tests.forked import ForkedCommand

GRID = ("--defenses", "none,median,gaussian_noise", "--attacks", "fgsm,pgd", "--n", "12")
SMALL = ("--defenses", "none,median", "--eps", "0.1", "--n", "12")
PLAIN = ("--no-plots", "--no-html")


def content(folder: Path, *parts: str) -> dict[str, bytes]:
    """The files of some parts of a run."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in parts
        for path in ((folder / part), *sorted((folder / part).rglob("*")))
        if path.is_file()
    }


def run(bench: Any, tiny: Path, *options: object, code: int = 0) -> Any:
    done = bench("run", "--config", tiny, *options)
    assert done.code == code, done.err
    return done


def test_four_shards_merged_are_the_run(bench: Any, tiny: Path) -> None:
    run(bench, tiny, *GRID, "--out", "whole", "--no-latency")
    for number in range(1, 5):
        done = run(bench, tiny, *GRID, "--shard", f"{number}/4")
        assert "No timings: they need a machine alone" in done.err
    shards = sorted(Path("results/runs").iterdir())
    assert len({shard.name.partition("-shard-")[0] for shard in shards}) == 1
    assert [shard.name[-12:] for shard in shards] == [f"shard-{i}-of-4" for i in range(1, 5)]

    merged = bench("merge", *shards, "--out", "merged", *PLAIN)
    assert merged.code == 0, merged.err
    parts = ("config.json", "cells", "images", "environments")
    whole = content(Path("whole"), *parts)
    assert content(Path("merged"), *parts) == whole
    assert "config.json" in whole
    assert len([name for name in whole if name.startswith("cells/")]) == 24

    assert bench("report", "whole", *PLAIN).code == 0
    tables = content(Path("merged"), "tables")
    assert tables == content(Path("whole"), "tables")

    # The other order, with a shard named twice, makes the same; again changes nothing.
    again = bench("merge", *reversed(shards), shards[0], "--out", "reversed", *PLAIN)
    assert again.code == 0, again.err
    assert content(Path("reversed"), *parts, "tables") == {**whole, **tables}
    assert bench("merge", *shards, "--out", "merged", *PLAIN).code == 0
    assert content(Path("merged"), *parts, "tables") == {**whole, **tables}

    done = run(bench, tiny, *GRID, "--out", "merged")  # the same run goes on: it times
    assert "12 of 12" in done.err or "12 already recorded" in done.err
    assert list(Path("merged/latency").iterdir())


def test_seeds_and_defenses_are_added_to_a_run_that_goes_on(bench: Any, tiny: Path) -> None:
    run(bench, tiny, *SMALL, "--out", "a", "--no-latency")
    more = ("--defenses", "bitdepth", "--eps", "0.1,0.2", "--n", "12", "--seeds", "1")
    run(bench, tiny, *more, "--out", "b", "--no-latency")

    shutil.copytree("a", "added")
    merged = bench("merge", "added", "b", "--out", "added", *PLAIN)
    # 3 defenses, 2 budgets, 2 seeds; of the 12 cells 2 are in a and 2 in b
    assert merged.code == 1, merged.err
    assert "8 cells have no record" in merged.err
    both = bench("merge", "b", "a", "--out", "both", *PLAIN)
    assert both.code == 1
    parts = ("config.json", "cells", "images", "tables")
    assert content(Path("added"), *parts) == content(Path("both"), *parts)

    union = ("--defenses", "none,median,bitdepth", "--eps", "0.1,0.2", "--n", "12")
    done = run(bench, tiny, *union, "--seeds", "0,1", "--out", "added", "--no-latency")
    assert "Plan: 12 cells" in done.err
    assert "4 already recorded" in done.err
    assert bench("merge", "added", "b", "--out", "added", *PLAIN).code == 0


def test_runs_that_do_not_belong_together_are_refused(bench: Any, tiny: Path) -> None:
    few = ("--defenses", "none", "--eps", "0.1", "--no-latency")
    for n, out in ((12, "a"), (10, "b")):
        run(bench, tiny, *few, "--n", n, "--out", out)
    done = bench("merge", "a", "b", "--out", "merged", *PLAIN)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "a and b do not belong together: n is 12 in the first and 10 in the second" in line
    assert not Path("merged").exists()


def test_two_shards_may_share_a_folder_whatever_computes_them(bench: Any, tiny: Path) -> None:
    run(bench, tiny, *SMALL, "--out", "whole", "--no-latency")
    shared = (*SMALL, "--out", "shared", "--executor", "local:processes=1")
    for number in (2, 1):
        run(bench, tiny, *shared, "--shard", f"{number}/2", "--cache", "fresh")
    parts = ("config.json", "cells", "tables")
    assert content(Path("shared"), *parts) == content(Path("whole"), *parts)


def test_a_shard_without_a_cell_says_so_and_can_be_merged(bench: Any, tiny: Path) -> None:
    done = run(bench, tiny, *SMALL, "--shard", "5/5")
    assert "shard 5/5 has no cell" in done.err
    (empty,) = Path("results/runs").iterdir()
    run(bench, tiny, *SMALL, "--out", "whole", "--no-latency")
    assert bench("merge", empty, "whole", "--out", "merged", *PLAIN).code == 0
    assert content(Path("merged"), "cells") == content(Path("whole"), "cells")


@pytest.mark.parametrize("text", ["0/4", "5/4", "x", "1/0", "3"])
def test_a_wrong_shard_ends_before_torch_is_imported(text: str, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['bench', 'run', '--shard', sys.argv[1]]\n"
        "from bench.cli import run_command\n"
        "code = run_command(); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, text], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: --shard {text}: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_preempted_shard_leaves_nothing_half_written_and_goes_on(
    bench: Any, tiny: Path, tmp_path: Path, session_cache: Path, number: signal.Signals
) -> None:
    attack = ("--attacks", "pgd:steps=400")
    command = ("run", "--config", tiny, *SMALL, *attack, "--shard", "1/2")
    options = ("--out", "shard", "--cache", session_cache, *PLAIN, "--device", "cpu")
    started = ForkedCommand.start(tmp_path, *command, *options)
    log = tmp_path / "stderr"
    while started.process.is_alive() and not (log.exists() and "step 1 of" in log.read_text()):
        time.sleep(0.01)
    os.kill(started.process.pid or 0, number)
    code, err = started.wait()

    if number == signal.SIGTERM:
        assert code == 130
        again = shlex.join(["bench", *map(str, (*command, *options))])
        assert err.splitlines()[-1].endswith(f"run the same command again: {again}")
        assert not list(tmp_path.rglob("*.partial"))
    shard = RunFolder.open(tmp_path / "shard")
    assert all(shard.outcome(record) for record in shard.records())
    run(bench, tiny, *SMALL, *attack, "--shard", "1/2", "--out", "shard")
    assert shard.records()
