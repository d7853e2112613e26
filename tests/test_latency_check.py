"""The latency check itself: that it catches a slowdown, and what it compares with what."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.plugins.catalog import list_plugins
from tests.latency.baseline import last_of_each, machine_folder, set_aside, share_of_a_core
from tests.latency.ratios import References, judge, one_thread, paired_ratio

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("measured", "reference", "kind"),
    [
        (3.0, 2.0, "ok"),
        (4.0, 2.0, "ok"),  # at the tolerance
        (4.01, 2.0, "slower"),
        (1.0, 2.0, "ok"),
        (0.99, 2.0, "faster"),
        (1e6, None, "new"),
    ],
)
def test_a_ratio_is_held_to_its_reference(
    measured: float, reference: float | None, kind: str
) -> None:
    assert judge(measured, reference, 2.0).kind == kind


@pytest.mark.parametrize(
    "numbers", [(0.0, 1.0, 2.0), (float("nan"), 1.0, 2.0), (1.0, 0.0, 2.0), (1.0, 1.0, 0.5)]
)
def test_what_is_no_ratio_is_refused(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="no ratio to judge"):
        judge(*numbers)


def test_a_verdict_says_what_was_measured_and_what_was_expected() -> None:
    assert (
        judge(8.4, 2.0, 1.5).text
        == "8.4 times none; reference 2, tolerance a factor of 1.5: slower"
    )


def test_the_ratio_is_the_median_over_rounds_that_share_a_disturbance_fairly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, disturbance = 0.0, 1.0
    order: list[str] = []

    def spend(which: str, seconds: float) -> Callable[[], None]:
        def spent() -> None:
            nonlocal clock
            order.append(which)
            clock += seconds * disturbance

        return spent

    def now() -> float:
        nonlocal disturbance
        disturbance *= 1.01  # ever slower
        return clock

    monkeypatch.setattr("tests.latency.ratios.timer", now)
    assert paired_ratio(spend("call", 2.5), spend("bare", 1.0), 4) == pytest.approx(2.5, rel=0.06)
    assert (
        order
        == ["call"] * 3 + ["bare"] * 3 + (["bare"] * 3 + ["call"] + ["call"] + ["bare"] * 3) * 2
    )


def test_one_disturbed_round_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    times = iter(
        [*(2.0, 2.0, 2.0), *(1.0, 1.0, 1.0), *(1.0, 1.0, 2.0), *(90.0, 1.0, 1.0), *(1.0, 1.0, 2.2)]
    )

    def spend() -> None:
        nonlocal clock
        clock += next(times)

    monkeypatch.setattr("tests.latency.ratios.timer", lambda: clock)
    assert paired_ratio(spend, lambda: spend(), 3) == pytest.approx(2.2)


def test_a_sleep_shows_in_the_ratio() -> None:
    assert 3 < paired_ratio(lambda: time.sleep(0.05), lambda: time.sleep(0.01), 5) < 6


def test_one_thread_is_for_the_block_only() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_references_are_written_one_by_one(tmp_path: Path) -> None:
    references = References(tmp_path / "ratios.json")
    assert references.find("cpu", "median", 1) is None
    references.write("cpu", "some processor", "median", 1, 2.3456)
    references.write("cpu", "some processor", "median", 32, 7.0)
    references.write("cuda", "some card", "median", 1, 1.5)
    assert [
        references.find(*key)
        for key in (("cpu", "median", 1), ("cpu", "median", 32), ("cuda", "median", 1))
    ] == [
        2.35,
        7.0,
        1.5,
    ]
    assert references.find("cpu", "median", 8) is None
    content = json.loads(references.path.read_text())
    content["cpu"]["tolerance"] = 1.25
    references.path.write_text(json.dumps(content))
    references.write("cpu", "some processor", "median", 1, 3.0)
    assert references.tolerance("cpu") == 1.25
    assert content["cuda"] == json.loads(references.path.read_text())["cuda"]


def test_the_committed_references_are_of_defenses_that_exist() -> None:
    references = References(ROOT / "tests/latency/ratios.json")
    names = {card.name for card in list_plugins() if card.family == "defense"}
    known = json.loads(references.path.read_text())["cpu"]["ratios"]
    assert set(known) <= names
    assert {"convae", "puvae", "defensegan"} <= set(known)
    assert all(
        judge(known["none"][size], 1.0, 1.2).kind == "ok" for size in known["none"]
    )  # its own control
    assert 1 < references.tolerance("cpu") <= 3


def run(**medians: float) -> dict[str, Any]:
    return {
        "benchmarks": [
            {"fullname": name, "stats": {"median": median}} for name, median in medians.items()
        ]
    }


def test_each_test_is_compared_with_the_last_run_that_held_it() -> None:
    whole, part = (Path("0001.json"), run(a=1.0, b=2.0)), (Path("0002.json"), run(a=3.0))
    chosen = last_of_each([whole, part])
    medians = {
        path.name: {name: test["stats"]["median"] for name, test in of.items()}
        for path, of in chosen.items()
    }
    assert medians == {"0001.json": {"b": 2.0}, "0002.json": {"a": 3.0}}
    assert last_of_each([]) == {}


def test_a_run_set_aside_is_found_by_no_later_one(tmp_path: Path) -> None:
    stored = tmp_path / "0002_some-commit.json"
    stored.write_text("{}")
    moved = set_aside(stored)
    assert moved.read_text() == "{}"
    assert list(tmp_path.glob("[0-9][0-9][0-9][0-9]_*")) == []


def test_the_share_of_a_core_is_what_the_process_spends_on_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall = (number / 100 for number in range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: next(wall))
    spent = iter([5.0, 5.05])
    monkeypatch.setattr("time.process_time", lambda: next(spent))
    assert share_of_a_core(0.1) == pytest.approx(0.5, abs=0.1)


def test_another_machine_or_another_number_of_threads_has_another_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = torch.device("cpu")
    with one_thread():
        here = machine_folder(cpu)
        monkeypatch.setattr("platform.node", lambda: "elsewhere")
        elsewhere = machine_folder(cpu)
        monkeypatch.setattr("tests.latency.baseline.device_name", lambda device: "Some / other CPU")
        other = machine_folder(cpu)
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    assert len({here, elsewhere, other, machine_folder(cpu)}) == 4
    assert other == "elsewhere-Some-other-CPU-1-threads"


@pytest.fixture
def latency(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`make latency` on one plugin, with storage and references of its own."""
    outer = ("PYTEST_", "MAKE", "MFLAGS", "BENCH_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(outer)}

    def call(plugin: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        arguments = f"-k my_median-1 --plugin {plugin} --device cpu --seconds 0.1"
        places = f"--benchmark-storage={tmp_path}/storage --ratios {tmp_path}/ratios.json"
        # Everything is installed where this runs: make is not to look after the environment in
        # .venv.
        make = ["make", "--assume-old=.venv/.test", "latency", f"BIN={Path(sys.executable).parent}"]
        tolerance = (
            "LATENCY_TOLERANCE=900"  # other tests run beside this one; a sleep is longer still
        )
        command = [*make, tolerance, f"ARGS={arguments} {places}"]
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return call


def test_a_slowdown_of_one_defense_is_caught_and_named(
    latency: Callable[..., subprocess.CompletedProcess[str]], plugins: Path, tmp_path: Path
) -> None:
    first = latency(plugins / "my_median.py", BENCH_RATIOS="write")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "First run on this machine: nothing to compare with" in first.stdout
    (stored,) = (tmp_path / "storage").rglob("*.json")
    assert all(
        {"p50_ms", "p90_ms", "p95_ms", "batch_size", "device", "torch"} <= set(test["extra_info"])
        and ("p99_ms" in test["extra_info"]) == (test["stats"]["rounds"] >= 100)
        for test in json.loads(stored.read_text())["benchmarks"]
    )
    # A stranger's figures, impossibly quick, lie in the storage too.
    content = json.loads(stored.read_text())
    for test in content["benchmarks"]:
        test["stats"]["median"] = 1e-9
    strange = tmp_path / "storage" / "stranger-some-CPU-1-threads" / stored.parent.name
    strange.mkdir(parents=True)
    (strange / "0009_stranger.json").write_text(json.dumps(content))
    loosened = json.loads((tmp_path / "ratios.json").read_text())
    loosened["cpu"]["tolerance"] = 4  # see the other tests beside this one
    (tmp_path / "ratios.json").write_text(json.dumps(loosened))

    second = latency(plugins / "my_median.py")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "First run" not in second.stdout
    assert "test_latency[my_median-1-purifier] (0001" in second.stdout

    text = (plugins / "my_median.py").read_text()
    slowed = tmp_path / "slowed.py"
    slowed.write_text(
        text.replace("        size = ", "        __import__('time').sleep(0.1)\n        size = ")
    )
    assert slowed.read_text() != text
    third = latency(slowed)
    assert third.returncode != 0
    assert "Performance has regressed" in third.stderr + third.stdout
    assert "test_latency[my_median-1-purifier] (0002" in third.stderr + third.stdout
    assert "test_latency[my_median-1-pipeline] (0002" in third.stderr + third.stdout
    assert "my_median, batch 1:" in third.stdout
    assert (
        "FAILED tests/latency/test_regression.py::test_ratio_to_none[my_median-1]" in third.stdout
    )
    assert "Traceback" not in third.stderr
    assert [path.name[:14] for path in stored.parent.glob("regressed_*")] == ["regressed_0003"]
