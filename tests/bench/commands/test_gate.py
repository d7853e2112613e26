"""`bench gate` and the latencies of `bench compare`, on hand-made runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from bench.errors import StorageError
from bench.records.folder import RunFolder

N = 100
SLEEP = 3.0
"""Milliseconds that a changed purifier sleeps."""


def calls(ms: float) -> np.ndarray:
    """Thirty calls of nearly that many milliseconds."""
    return ms * np.linspace(0.95, 1.05, 30)


@pytest.fixture
def run(made: Any, tmp_path: Path) -> Callable[..., RunFolder]:
    """A run with the bare classifier and a ConvAE: accuracies and times as on a small machine."""

    def of(
        name: str, robust: int = 60, clean: int = 95, sleep: float = 0, **changes: Any
    ) -> RunFolder:
        folder = RunFolder.create(tmp_path / name, {"x": name, "defenses": ["none", "convae"]})
        environment = folder.save_environment({"device": {"name": "a laptop"}})
        if changes.get("accuracy", True):
            for attack in ("fgsm", "pgd"):
                for defense, images in (("none", 30), ("convae", robust)):
                    outcome = made.outcome(np.arange(N) < images, np.arange(N) < clean)
                    folder.save(made.record(defense, attack, n=N, data="x"), outcome)
        if changes.get("latency", True):
            for defense, target, ms in (
                ("none", "pipeline", 0.5),
                ("convae", "purifier", 0.8 + sleep),
                ("convae", "pipeline", 1.3 + sleep),
            ):
                timed = made.timing(calls(ms), defense, target, environment=environment)
                folder.save_timing(timed)
        return folder

    return of


def test_an_unchanged_run_passes(bench: Any, run: Any) -> None:
    run("baseline")
    run("new")
    done = bench("gate", "baseline", "new")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == (
        "gate passed: 2 worst cases, 2 clean accuracies, 4 cells, 3 timings"
    )


def test_a_purifier_that_sleeps_fails_and_is_named(bench: Any, run: Any) -> None:
    run("baseline")
    run("new", sleep=SLEEP)
    done = bench("gate", "baseline", "new")
    assert done.code == 1
    last = done.out.splitlines()[-1]
    assert last.startswith("gate failed: 2 timings: digits cnn convae p")
    assert "failed: digits cnn convae purifier, batch 1: 4.75 [" in done.out
    assert "(1.3 ms to 4.3 ms; 2.6 to 8.6 times none)" in done.out
    assert bench("gate", "baseline", "new", "--no-latency").code == 0
    assert bench("gate", "baseline", "new", "--fail-slower", "400").code == 0


def test_a_purifier_that_was_trained_badly_fails_and_is_named(bench: Any, run: Any) -> None:
    run("baseline")
    run("new", robust=45)
    done = bench("gate", "baseline", "new")
    assert done.code == 1
    assert (
        "failed: digits cnn convae linf eps 0.1 seed 0: worst case from 0.600 to 0.450 "
        "(-15.0 points), p = 0.000122"
    ) in done.out
    assert done.out.splitlines()[-1].startswith("gate failed: 1 worst case, 2 cells: digits cnn ")
    assert bench("gate", "baseline", "new", "--fail-below", "15").code == 0
    assert bench("gate", "baseline", "new", "--fail-below", "14.9").code == 1


def test_three_images_fewer_fail_only_where_points_are_given(bench: Any, run: Any) -> None:
    run("baseline")
    run("new", robust=57)
    assert bench("gate", "baseline", "new").code == 0
    assert bench("gate", "baseline", "new", "--fail-below", "2").code == 1


def test_a_run_without_the_timings_of_the_baseline_fails(bench: Any, run: Any) -> None:
    run("baseline")
    run("new", latency=False)
    done = bench("gate", "baseline", "new")
    assert done.code == 1
    assert done.out.count(": missing") == 4  # three timings, and one again in the last line
    assert bench("gate", "new", "baseline").code == 0
    done = bench("gate", "new", "baseline", "--fail-slower", "100")
    assert (done.code, "the baseline has no timings" in done.out) == (1, True)


def test_the_files_hold_the_result(bench: Any, run: Any, tmp_path: Path) -> None:
    run("baseline")
    run("new", robust=45, sleep=SLEEP)
    files = ("--junit", "out/gate.xml", "--json", "out/gate.json", "--markdown", "out/gate.md")
    done = bench("gate", "baseline", "new", *files)
    assert done.code == 1

    suites = ElementTree.parse(tmp_path / "out" / "gate.xml").getroot()
    assert {suite.get("name"): suite.get("failures") for suite in suites} == {
        "worst case": "1",
        "clean accuracy": "0",
        "cell": "2",
        "timing": "2",
    }
    assert len(suites.findall(".//testcase")) == int(suites.get("tests", ""))
    content = json.loads((tmp_path / "out" / "gate.json").read_text(), parse_constant=pytest.fail)
    assert (content["passed"], len(content["checks"])) == (False, int(suites.get("tests", "")))
    assert content["summary"] == done.out.splitlines()[-1]
    markdown = (tmp_path / "out" / "gate.md").read_text()
    assert markdown.startswith("gate failed: 1 worst case, 2 cells, 2 timings: ")
    assert "| timing" in markdown
    assert markdown.count("<details>") == 2


def test_two_latency_runs_can_be_compared_and_judged(
    bench: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    run("a", accuracy=False)
    run("b", accuracy=False, sleep=SLEEP)
    done = bench("compare", "a", "b")
    assert (done.code, done.err) == (0, "")
    for word in ("Latency per call", "4.75 [", "slower", "8.6"):
        assert word in done.out
    assert bench("compare", "a", "a").code == 0
    assert bench("gate", "a", "a").out.splitlines()[-1] == "gate passed: 3 timings"
    assert bench("gate", "a", "b").code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("baseline", "nowhere"), "nowhere is not a run's folder"),
        (("baseline", "new", "--fail-below", "nan"), "--fail-below nan: must be a number of"),
        (("baseline", "new", "--fail-slower", "inf"), "--fail-slower inf: must be a number of"),
        (
            ("baseline", "new", "--fail-slower", "5", "--no-latency"),
            "--fail-slower judges timings: leave out --no-latency",
        ),
        (("baseline", "new", "--fail-slower", "-1"), "--fail-slower -1: must be a number of"),
        (("baseline", "new", "--junit", "baseline"), "--junit baseline"),
        (("baseline", "times"), "have different test images"),
    ],
)
def test_a_wrong_request_ends_with_2_and_writes_nothing(
    bench: Any, run: Any, made: Any, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    run("baseline")
    run("new")
    other = run("times", accuracy=False)
    other.save(made.record("none", n=50, data="others"), made.outcome(np.ones(50)))
    done = bench("gate", *arguments, "--json", "gate.json")
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert not (tmp_path / "gate.json").exists()


def test_a_file_that_cannot_be_written_hides_no_judgement(
    bench: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("gate.xml cannot be written: the disk is full")

    run("baseline")
    run("new", sleep=SLEEP)
    monkeypatch.setattr("bench.commands.gate.write_bytes", full)
    done = bench("gate", "baseline", "new", "--junit", "gate.xml")
    assert done.code == 1
    assert "gate failed: 2 timings" in done.out
    assert "the disk is full" in done.err
