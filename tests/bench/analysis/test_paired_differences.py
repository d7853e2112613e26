"""Paired differences: the closed form of the source, and what must hold of any interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.analysis.statistics import images_to_tell, mcnemar, paired_difference

outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
shares = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda pair: (pair[0] / 4, pair[1] / 4)),
    min_size=1,
    max_size=60,
)


def columns(pairs: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    first, second = zip(*pairs, strict=True)
    return np.asarray(first), np.asarray(second)


@given(outcomes)
def test_booleans_have_the_interval_of_bonett_and_price(pairs: list[tuple[bool, bool]]) -> None:
    """Their equation, from the four counts: (f12 + 1) / (n + 2) and (f21 + 1) / (n + 2)."""
    n = len(pairs)
    p12 = (sum(a and not b for a, b in pairs) + 1) / (n + 2)
    p21 = (sum(b and not a for a, b in pairs) + 1) / (n + 2)
    half = 1.959963985 * math.sqrt((p12 + p21 - (p12 - p21) ** 2) / (n + 2))
    found = paired_difference(*columns(pairs))
    assert found.low == pytest.approx(max(-1, p12 - p21 - half), abs=1e-6)
    assert found.high == pytest.approx(min(1, p12 - p21 + half), abs=1e-6)


@given(shares)
def test_any_interval_holds_its_difference_and_turns_with_it(
    pairs: list[tuple[float, float]],
) -> None:
    first, second = columns(pairs)
    found, turned = paired_difference(first, second), paired_difference(second, first)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high
    assert (turned.value, turned.low, turned.high) == pytest.approx(
        (-found.value, -found.high, -found.low)
    )
    assert found.value == pytest.approx(mcnemar(first, second).difference)


@given(outcomes)
def test_more_images_of_the_same_kind_narrow_the_interval(pairs: list[tuple[bool, bool]]) -> None:
    found, more = paired_difference(*columns(pairs)), paired_difference(*columns(4 * pairs))
    assert more.high - more.low <= found.high - found.low


def test_the_number_of_images_is_that_of_connors_formula() -> None:
    """Discordant 0.25 and 0.10, roots times quantiles: (1.1596 + 0.4816) squared over 0.0225."""
    first = np.array([1] * 5 + [0] * 2 + [1] * 13)
    second = np.array([0] * 5 + [1] * 2 + [1] * 13)
    assert images_to_tell(first, second) == pytest.approx(119.71, abs=0.01)


def test_a_correction_for_several_tests_needs_more_images() -> None:
    """At 0.05 / 10 the quantile is 2.8070, so that it is (1.6607 + 0.4816) squared over 0.0225."""
    first = np.array([1] * 5 + [0] * 2 + [1] * 13)
    second = np.array([0] * 5 + [1] * 2 + [1] * 13)
    assert images_to_tell(first, second, tests=10) == pytest.approx(203.97, abs=0.05)


@given(outcomes)
def test_only_equal_accuracies_need_images_without_end(pairs: list[tuple[bool, bool]]) -> None:
    first, second = columns(pairs)
    found = images_to_tell(first, second)
    assert found >= 1
    assert math.isinf(found) == (first.sum() == second.sum())


@given(outcomes)
def test_a_larger_difference_needs_fewer_images(pairs: list[tuple[bool, bool]]) -> None:
    first, second = columns(pairs)
    assume(first.sum() > second.sum())
    wider = np.append(first, True), np.append(second, False)
    assert images_to_tell(*wider) <= images_to_tell(first, second)
