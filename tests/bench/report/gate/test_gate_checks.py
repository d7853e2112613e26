"""What fails in the gate: hand-made runs, and how often chance fails an unchanged one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records.folder import RunFolder
from bench.report.comparison import Comparison
from bench.report.comparison.compared_run import ComparedRun
from bench.report.comparison.timings import Spread, timings_frame
from bench.report.gate.check import SLOWER, Check, Limits
from bench.report.gate.gate import Gate
from bench.report.gate.junit import junit_xml
from bench.report.gate.summary import gate_json
from bench.report.gate.timing_checks import timing_checks

N = 100


def right(count: int) -> np.ndarray:
    return np.arange(N) < count


@pytest.fixture
def save(made: Any, tmp_path: Path) -> Any:
    """Save a cell with so many robust and clean images into the run of that name."""
    folders = {name: RunFolder.create(tmp_path / name, {"x": name}) for name in "ab"}

    def of(run: str, robust: int, clean: int = N, moved: float = 0.1, **labels: Any) -> RunFolder:
        outcome = made.outcome(right(robust), right(clean), moved=moved)
        folders[run].save(made.record(n=N, **labels), outcome)
        return folders[run]

    return of


def judged(save: Any, limits: Limits | None = None) -> Gate:
    a, b = (save(run, 50, defense="same") for run in "ab")
    return Gate.of(Comparison.of(a, b), limits or Limits(), "a", "b")


def failures(gate: Gate) -> dict[str, str]:
    return {check.kind: "; ".join(check.failures) for check in gate.failed}


def test_an_unchanged_run_passes(save: Any) -> None:
    gate = judged(save)
    assert gate.passed
    assert gate.closing_line == "gate passed: 1 worst case, 1 clean accuracy, 1 cell"


@pytest.mark.parametrize(
    ("lost", "points", "fails"),
    [(3, None, False), (12, None, True), (3, 2, True), (2, 2, False), (12, 20, False)],
)
def test_significance_decides_unless_points_are_given(
    save: Any, lost: int, points: float | None, fails: bool
) -> None:
    """Three images are chance, twelve are not; with points only their number counts."""
    save("a", 60)
    save("b", 60 - lost)
    assert set(failures(judged(save, Limits(points)))) == (
        {"cell", "worst case"} if fails else set()
    )


def test_clean_accuracy_is_judged_once_for_each_defense(save: Any) -> None:
    for eps in (0.1, 0.1001):
        save("a", 0, 100, eps=eps)
        save("b", 0, 80, eps=eps)
    gate = judged(save)
    assert [check.kind for check in gate.failed] == ["clean accuracy"]
    assert gate.closing_line.startswith(
        "gate failed: 1 clean accuracy: digits cnn d seed 0: clean accuracy from 1.000 to 0.800 "
        "(-20.0 points), p = "
    )


def test_a_new_attack_that_breaks_more_fails_nothing(save: Any) -> None:
    save("a", 60)
    save("b", 60)
    save("b", 0, attack="pgd")
    save("b", 0, defense="new")
    assert judged(save).passed


def test_a_worst_case_falls_where_no_cell_falls_far(save: Any, made: Any) -> None:
    """Two attacks break other images each; the better of both breaks their union."""
    for run, robust in (("a", right(50)), ("b", np.roll(right(50), 9))):
        folder = save(run, 50, attack="fgsm")
        folder.save(made.record(n=N, attack="pgd"), made.outcome(robust))
    assert set(failures(judged(save, Limits(points=5)))) == {"worst case"}


def test_what_is_missing_failed_or_invalid_fails(save: Any, made: Any) -> None:
    for attack in ("gone", "fails", "still"):
        save("a", 60, attack=attack)
    save("b", 60, moved=0.0, attack="still")
    b = save("b", 50, defense="same")
    b.save(made.record(n=N, attack="fails", status="failed", reason="no luck"), None)
    found = [line for check in judged(save).failed for line in check.failures]
    assert sorted(found) == ["failed: no luck", "missing", "the verdict is invalid"]


def test_a_plugin_with_other_parameters_is_named(save: Any) -> None:
    save("a", 60, parameters={"defense": {"width": 4}})
    save("b", 60, parameters={"defense": {"width": 8}})
    assert judged(save).remarks == ("the same specs, with other parameters: defense d",)


def timing_failures(a: ComparedRun, b: ComparedRun, limits: Limits) -> list[Check]:
    comparison = Comparison(*3 * (None,), timings_frame(a, b), (), (), ())  # type: ignore[arg-type]
    return [check for check in timing_checks(comparison, limits) if check.failures]


def noisy_run(
    made: Any, generator: np.random.Generator, slow: Mapping[str, float], rounds: int
) -> ComparedRun:
    """Times as on a shared machine: each call drifts from round to round, and has a spread.

    Between the rounds of results/reference/latency-cpu the ratios of two calls to another two vary
    by 0.27 on a logarithmic scale, so one call drifts by half of that.
    """
    timings = [
        made.timing(
            ms * slow.get(defense, 1) * generator.lognormal(generator.normal(0, 0.135), 0.1, 30),
            defense,
            target,
            round=index,
        )
        for index in range(rounds)
        for defense, target, ms in (
            ("none", "pipeline", 1),
            *(("x", "purifier", 1), ("x", "pipeline", 2), ("y", "purifier", 8)),
            *(("y", "pipeline", 9), ("z", "purifier", 50), ("z", "pipeline", 51)),
        )
    ]
    return ComparedRun({}, {}, {}, timings, {}, ())


def test_the_gate_knows_chance_from_a_slow_defense(made: Any) -> None:
    generator = np.random.default_rng(1)
    for _ in range(8):
        baseline, same, slower = (
            noisy_run(made, generator, speed, rounds=1) for speed in ({}, {}, {"y": 4.0})
        )
        assert not timing_failures(baseline, same, Limits())
        found = timing_failures(baseline, slower, Limits())
        assert {check.labels["defense"] for check in found} == {"y"}


@pytest.mark.parametrize(
    ("rounds", "percent", "most"), [(1, SLOWER, 0.02), (2, 50.0, 0.03), (3, 50.0, 0.005)]
)
def test_an_unchanged_run_seldom_fails(rounds: int, percent: float, most: float) -> None:
    """Of twelve timings on that machine none is beyond the limit in nearly every gate."""
    generator = np.random.default_rng(0)

    def spread() -> Spread:
        centers = generator.normal(0, 0.135, rounds)
        calls = [generator.lognormal(center, 0.1, 30) for center in centers]
        low, middle, high = np.percentile(calls, [25, 50, 75])
        return Spread(middle, low, high)

    def timings() -> list[Spread]:
        none = spread()
        return [spread().over(none) for _ in range(12)]

    gates = 300
    failed = sum(
        any(b.over(a).low > 1 + percent / 100 for a, b in zip(timings(), timings(), strict=True))
        for _ in range(gates)
    )
    assert failed <= most * gates


def run(*timings: Any) -> ComparedRun:
    return ComparedRun({}, {}, {}, timings, {}, ())


def test_a_timing_that_cannot_be_judged_fails(made: Any) -> None:
    none, own = made.timing(1.0, "none"), made.timing(2.0)
    for b, failure in (
        ((own,), "cannot be judged, none was not timed beside it in B: the machines differ"),
        ((none,), "missing"),
        ((none, made.timing(None, status="failed", reason="no luck")), "failed: no luck"),
    ):
        found = timing_failures(run(none, own), run(*b), Limits())
        assert failure in [check.failures[0] for check in found if check.labels["defense"] == "d"]


def test_a_limit_on_latency_needs_timings_to_judge_by(made: Any) -> None:
    asked = Limits(percent=50, latency_required=True)
    (check,) = timing_failures(run(), run(made.timing(1.0, "none")), asked)
    assert check.failures == ("the baseline has no timings to judge by",)
    assert not timing_failures(run(), run(), Limits())
    assert not timing_failures(run(made.timing(1.0)), run(), Limits(percent=None))


def test_what_is_over_the_limit_within_the_spread_is_doubted(made: Any) -> None:
    none, noisy = made.timing(1.0, "none"), made.timing([1.0, 5.0, 9.0])
    comparison = timings_frame(run(none, made.timing(2.0)), run(none, noisy))
    holder = Comparison(*3 * (None,), comparison, (), (), ())  # type: ignore[arg-type]
    check, _ = timing_checks(holder, Limits())
    assert (check.failures, check.doubts) == (
        (),
        ("over the limit, but within the spread; time it in more rounds",),
    )


anything = st.text(st.characters(codec=None), max_size=40)


@given(anything, anything, st.sampled_from([None, 0.5, 1e300]))
def test_any_text_gives_files_that_parse(title: str, failure: str, number: float | None) -> None:
    title, failure = (text.encode("utf-8", "replace").decode() for text in (title, failure))
    checks = (
        Check("cell", title, failures=(failure,), labels={"attack": title}),
        Check("timing", title, title, doubts=(failure,), numbers={"ms_a": number}),
    )
    gate = Gate("a", "b", Limits(), checks, (title,))

    suites = ElementTree.fromstring(junit_xml(gate))
    assert [suite.get("name") for suite in suites] == ["cell", "timing"]
    assert [suite.get("failures") for suite in suites] == ["1", "0"]
    content = json.loads(gate_json(gate), parse_constant=pytest.fail)
    assert (content["schema"], content["passed"]) == (1, False)
    assert [check["passed"] for check in content["checks"]] == [False, True]
    assert content["checks"][1]["numbers"] == {"ms_a": number}
    assert "\n" not in gate.closing_line


def test_nothing_to_judge_is_no_success() -> None:
    assert not Gate("a", "b", Limits(), (), ()).passed
