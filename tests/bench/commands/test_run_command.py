"""`bench run`: the order of its output, and its exit code."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.records.cell import CellRecord
from bench.sweep.runner import Runner

RUN = ("--defenses", "none", "--eps", "0.1", "--n", "20", "--out", "out")
"""Options of a run with one cell."""

DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2
"""Numbers of the capabilities by which root passes permissions."""

PR_CAPBSET_DROP = 24


def test_tables_come_before_the_timings(
    bench: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Runner.measure_latency
    present = []

    def announced(runner: Runner, environment: str) -> int:
        present.append(Path("out/tables/accuracy.md").is_file())
        sys.stdout.write("the sweep starts\n")
        return measure(runner, environment)

    monkeypatch.setattr(Runner, "measure_latency", announced)
    done = bench("run", "--config", tiny, *RUN)
    assert done.code == 0, done.err
    assert present == [True]
    before, after = done.out.split("the sweep starts")
    assert "Accuracy, with 95 % Wilson intervals" in before
    assert "Latency per call" not in before
    assert "Latency per call" in after
    assert "Accuracy, with" not in after


def test_a_run_without_timings_is_completed_by_a_run_with_them(bench: Any, tiny: Path) -> None:
    first = bench("run", "--config", tiny, *RUN, "--no-latency")
    assert first.code == 0, first.err
    assert "Accuracy, with" in first.out
    assert "Latency per call" not in first.out
    assert not Path("out/latency").exists()
    configuration = Path("out/config.json").read_bytes()

    second = bench("run", "--config", tiny, *RUN)
    assert second.code == 0, second.err
    assert "1 already recorded" in second.err
    assert Path("out/config.json").read_bytes() == configuration
    assert len(list(Path("out/latency").iterdir())) == 4

    sorted(Path("out/latency").iterdir())[0].write_text("{")  # damaged, so it is measured again
    third = bench("run", "--config", tiny, *RUN)
    assert third.code == 0, third.err
    assert third.err.count("latency 1 of 1") == 1
    timings = third.out[third.out.rindex("Latency per call") :]

    fourth = bench("run", "--config", tiny, *RUN, "--no-latency")
    assert fourth.out.endswith(timings)


@pytest.mark.parametrize("lost", ["never yielded", "file removed"])
def test_success_needs_a_record_of_every_cell(
    bench: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    run = Runner.run

    def without_first(runner: Runner, environment: str, **_options: Any) -> Iterator[CellRecord]:
        records = list(run(runner, environment))
        if lost == "file removed":
            next(Path("out/cells").glob(f"{records[0].key[:16]}*.json")).unlink()
            yield records[0]
        yield from records[1:]

    command = ("run", "--config", tiny, *RUN, "--attacks", "fgsm,pgd", "--no-latency")
    assert bench(*command).code == 0
    monkeypatch.setattr(Runner, "run", without_first)
    done = bench(*command)
    assert done.code == 1
    assert "1 of 2 cells have no record in out; the same command tries them again" in done.err


def test_a_skipped_cell_has_a_record(bench: Any, tiny: Path) -> None:
    command = ("run", "--config", tiny, *RUN, "--threats", "query", "--no-latency")
    done = bench(*command)
    assert done.code == 0, done.err
    assert "1 cell skipped" in done.out


@pytest.mark.parametrize("option", [(), ("--traceback",)])
def test_a_fault_of_a_plugin_is_one_line_or_has_its_traceback(
    bench: Any, tiny: Path, plugins: Path, option: tuple[str, ...]
) -> None:
    plugin = ("--plugin", plugins / "faulty.py", "--no-latency")
    done = bench("run", "--config", tiny, *RUN, *plugin, "--defenses", "broken", *option)
    assert done.code == 1
    assert "1 of 1 cells failed" in done.err
    lines = [line for line in done.err.splitlines() if line.startswith("failed: ")]
    assert len(lines) == 1
    assert lines[0].endswith("raised RuntimeError: no such luck")
    assert ('raise RuntimeError("no such luck")' in done.err) == bool(option)


def test_check_shows_a_traceback_on_request(bench: Any, tmp_path: Path) -> None:
    assert bench("new", "defense", "mine").code == 0
    source = Path("mine.py").read_text()
    faulty = source.replace("def forward(self", "def forward(self, *, sorry: int")
    assert faulty != source
    Path("faulty_mine.py").write_text(faulty)
    short = bench("check", "./faulty_mine.py")
    assert short.code == 1
    assert "Traceback" not in short.err
    assert (
        "Traceback (most recent call last)" in bench("check", "./faulty_mine.py", "--traceback").err
    )


def _obey_permissions() -> None:
    """Take from root what lets it write to read-only folders; others obey them anyway."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (DAC_OVERRIDE, DAC_READ_SEARCH):
            assert libc.prctl(PR_CAPBSET_DROP, capability) == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="root gives its privileges up as on Linux")
def test_a_read_only_cache_that_holds_everything_serves_a_run(
    bench: Any, tiny: Path, tmp_path: Path
) -> None:
    command = ("run", "--config", tiny, *RUN[:-2], "--no-latency")
    cache = tmp_path / "cache"
    first = bench(*command, "--cache", cache, "--out", "first")
    assert first.code == 0, first.err
    entries = [cache, *cache.rglob("*")]
    before = {path: path.read_bytes() for path in entries if path.is_file()}
    for path in entries:
        path.chmod(0o555 if path.is_dir() else 0o444)

    second = subprocess.run(
        [sys.executable, "-m", "bench", *map(str, command), "--cache", cache, "--out", "second"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        preexec_fn=_obey_permissions,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    for path in entries:
        path.chmod(0o755 if path.is_dir() else 0o644)

    assert second.returncode == 0, second.stderr
    assert "1 cached, 0 to train" in second.stderr
    assert {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()} == before
    tables = [Path(run, "tables", "accuracy.md").read_text() for run in ("first", "second")]
    assert tables[0] == tables[1]
