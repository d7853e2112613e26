"""Timings of two runs side by side, from hand-made raw times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records.timing import Timing
from bench.report.comparison.compared_run import ComparedRun
from bench.report.comparison.timings import Spread, timings_frame

HERE, THERE = "0123456789ab", "ba9876543210"
MACHINES = {HERE: "a laptop, PyTorch 2", THERE: "a server, PyTorch 2"}


def run(*timings: Timing) -> ComparedRun:
    return ComparedRun({}, {}, {}, timings, MACHINES, ())


@pytest.fixture
def timed(made: Any) -> Callable[..., ComparedRun]:
    """A run with the bare classifier and the pipeline of `d`, a number of milliseconds each."""

    def of(none: Any, pipeline: Any, **changes: Any) -> ComparedRun:
        return run(made.timing(none, "none", **changes), made.timing(pipeline, **changes))

    return of


def row(a: ComparedRun, b: ComparedRun, defense: str = "d") -> dict[Any, Any]:
    (found,) = timings_frame(a, b).query(f"defense == '{defense}'").to_dict("records")
    return found


@pytest.mark.parametrize(("pipeline", "slowdown"), [(4, 1), (12, 3), (1, 0.25)])
def test_a_machine_of_half_the_speed_is_no_slowdown(
    timed: Any, pipeline: float, slowdown: float
) -> None:
    found = row(timed(1, 2), timed(2, pipeline, environment=THERE))
    assert found["slowdown"] == pytest.approx(slowdown)
    assert (found["ms_a"], found["ms_b"]) == pytest.approx((2, pipeline))
    assert (found["times_none_a"], found["times_none_b"]) == pytest.approx((2, pipeline / 2))
    assert found["basis"] == "times none"


def test_the_interval_adds_the_quartiles_of_all_four_times_as_squares(timed: Any) -> None:
    generator = np.random.default_rng(0)
    times = [generator.lognormal(center, 0.2, 101) for center in (0, 1, 0.1, 1.5)]
    found = row(timed(times[0], times[1]), timed(times[2], times[3]))

    low, middle, high = (np.log([np.percentile(t, q) for t in times]) for q in (25, 50, 75))
    none_a, own_a, none_b, own_b = range(4)
    below = [(middle - low)[i] for i in (own_b, none_a)] + [
        (high - middle)[i] for i in (none_b, own_a)
    ]
    above = [(high - middle)[i] for i in (own_b, none_a)] + [
        (middle - low)[i] for i in (none_b, own_a)
    ]
    value = middle[own_b] - middle[none_b] - middle[own_a] + middle[none_a]
    assert found["slowdown"] == pytest.approx(np.exp(value))
    assert found["slowdown_low"] == pytest.approx(np.exp(value - np.linalg.norm(below)))
    assert found["slowdown_high"] == pytest.approx(np.exp(value + np.linalg.norm(above)))


positive = st.floats(1e-3, 1e3)
spreads = st.tuples(positive, positive, positive).map(
    lambda three: Spread(sorted(three)[1], min(three), max(three))
)


@given(spreads, spreads)
def test_a_ratio_lies_in_its_interval_and_the_inverse_ratio_mirrors_it(
    first: Spread, second: Spread
) -> None:
    ratio, inverse = first.over(second), second.over(first)
    assert ratio.low <= ratio.value * (1 + 1e-9)
    assert ratio.value <= ratio.high * (1 + 1e-9)
    assert ratio.low == pytest.approx(1 / inverse.high)
    # Never wider than the ratio of opposite ends.
    assert ratio.low >= first.low / second.high * (1 - 1e-9)


def test_rounds_that_differ_widen_the_interval(made: Any) -> None:
    def of(*rounds: float) -> ComparedRun:
        each = [made.timing([ms] * 9, round=index) for index, ms in enumerate(rounds)]
        return run(made.timing([1.0] * 9, "none"), *each)

    steady, drifting = row(of(2, 2), of(6, 6)), row(of(2, 2), of(3, 9))
    assert (steady["slowdown_low"], steady["mark"]) == (pytest.approx(3), "slower")
    assert drifting["slowdown_low"] == pytest.approx(1.5)


def test_the_bare_classifier_of_another_session_or_batch_is_no_reference(made: Any) -> None:
    own = made.timing(2.0)
    for none in (
        made.timing(1.0, "none", environment=THERE),
        made.timing(1.0, "none", batch_size=8),
        made.timing(1.0, "none", engine="compile"),
        made.timing(1.0, "none", "purifier"),
        made.timing(None, "none", status="failed", reason="no luck"),
    ):
        found = row(run(made.timing(1.0, "none"), own), run(none, own))
        assert (found["basis"], found["slowdown"]) == ("ms", 1)
        assert (
            found["note"] == "none was not timed beside it in B: milliseconds of the same machine"
        )


@pytest.mark.parametrize(
    "changes", [{"environment": THERE}, {"conditions": {"threads": 1}}, {"environment": "f" * 12}]
)
def test_milliseconds_of_different_machines_are_not_compared(made: Any, changes: Any) -> None:
    found = row(run(made.timing(2.0)), run(made.timing(9.0, **changes)))
    assert np.isnan(found["slowdown"])
    assert (found["basis"], found["mark"]) == ("", "not comparable")
    assert found["note"] == "none was not timed beside it in A and B: the machines differ"


def test_an_unknown_number_of_threads_is_that_of_no_other(made: Any) -> None:
    unknown = made.timing(2.0, conditions={})
    assert row(run(unknown), run(unknown))["basis"] == "ms"
    assert row(run(made.timing(2.0)), run(unknown))["basis"] == ""


def test_what_one_run_lacks_is_told(made: Any, timed: Any) -> None:
    failed = made.timing(None, status="failed", reason="no luck")
    none = made.timing(1.0, "none")
    found = row(timed(1, 2), run(none, failed))
    assert (found["mark"], found["reason_b"]) == ("failed in B", "no luck")
    assert row(run(none, failed), timed(1, 2))["mark"] == "failed in A"
    assert row(timed(1, 2), run(none))["mark"] == "not in B"
    assert timings_frame(run(none), timed(1, 2))["defense"].tolist() == ["none"]


def test_a_change_of_less_than_a_tenth_of_the_classifier_is_not_marked(made: Any) -> None:
    def of(purifier: float) -> ComparedRun:
        return run(made.timing(1.0, "none"), made.timing(purifier, target="purifier"))

    little, much = row(of(0.02), of(0.11)), row(of(0.02), of(0.13))
    assert little["slowdown"] == pytest.approx(5.5)
    assert (little["matters"], little["mark"]) == (False, "")
    assert (much["matters"], much["mark"]) == (True, "slower")


def test_a_purifier_slower_than_its_pipeline_is_called_impossible(made: Any) -> None:
    def of(purifier: Sequence[float]) -> ComparedRun:
        own = (made.timing([2.0, 2.1, 2.2]), made.timing(purifier, target="purifier"))
        return run(made.timing(1.0, "none"), *own)

    sound, impossible = of([1.0, 2.15, 3.0]), of([2.3, 2.4, 2.5])
    assert timings_frame(sound, sound)["note"].tolist() == ["", "", ""]
    assert timings_frame(sound, impossible).query("target == 'purifier'")["note"].tolist() == [
        "impossible in B: slower than the pipeline that contains it"
    ]
