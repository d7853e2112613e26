"""Tests and rankings against their definitions and published examples."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, permutation_test

from bench.analysis.statistics import holm, mcnemar, ranks

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def paired(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Two boolean arrays with so many images that both, one or neither gets right."""
    a = np.repeat([True, True, False, False], [both, first, second, neither])
    b = np.repeat([True, False, True, False], [both, first, second, neither])
    return a, b


@given(*[st.integers(0, 60)] * 4)
def test_mcnemars_test_is_the_sign_test_on_those_that_differ(
    both: int, first: int, second: int, neither: int
) -> None:
    found = mcnemar(*paired(both, first, second, neither))
    assert (found.first_only, found.second_only) == (first, second)
    expected = binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert found.p == pytest.approx(expected)


def test_a_published_mcnemar_test() -> None:
    """Fagerland, Lydersen and Laake 2013 (BMC Med. Res. Methodol. 13:91), table 1: 21 children, 1
    and 7 discordant.

    Exact conditional p-value: 2 binomcdf(1, 8, 0.5) = 2 (1 + 8) / 2**8 = 0.0703.
    """
    assert mcnemar(*paired(1, 1, 7, 12)).p == pytest.approx(18 / 256)


shares = st.integers(1, 6).flatmap(
    lambda draws: st.lists(st.integers(0, draws).map(lambda right: right / draws), max_size=8)
)


@given(shares, shares)
def test_shares_are_tested_by_all_signs_of_their_differences(
    first: list[float], second: list[float]
) -> None:
    n = min(len(first), len(second))
    a, b = np.array(first[:n]), np.array(second[:n])
    found = mcnemar(a, b)
    signs = np.array(list(product([-1, 1], repeat=n)), dtype=float).reshape(2**n, n)
    sums = signs @ (a - b)
    lower, upper = (sums <= (a - b).sum() + 1e-9).mean(), (sums >= (a - b).sum() - 1e-9).mean()
    assert found.p == pytest.approx(min(1.0, 2 * min(lower, upper)))
    assert found.difference == pytest.approx((a - b).mean() if n else 0.0)
    assert (found.first_only, found.second_only) == ((a > b).sum(), (a < b).sum())


def test_shares_of_many_images_agree_with_random_signs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.binomial(8, 0.80, 300) / 8, rng.binomial(3, 0.76, 300) / 3
    oracle = permutation_test(
        (a, b),
        lambda x, y: np.mean(x - y),
        permutation_type="samples",
        n_resamples=4_000,
        rng=np.random.default_rng(1),
    )
    assert mcnemar(a, b).p == pytest.approx(oracle.pvalue, abs=0.02)


def test_the_test_is_of_the_mean_not_of_the_number_of_images_with_a_larger_share() -> None:
    """A pipeline right in nine of ten draws everywhere beats one right on 70 images of 100."""
    often, sometimes = np.full(100, 0.9), np.repeat([1.0, 0.0], [70, 30])
    found = mcnemar(often, sometimes)
    assert (found.first_only, found.second_only) == (30, 70)
    assert found.difference == pytest.approx(0.2)
    assert found.p < 1e-3


def test_shares_that_differ_by_rounding_alone_are_equal() -> None:
    third = np.full(9, 1 / 3)
    found = mcnemar(third, np.full(9, 1 - 2 / 3))
    assert (found.first_only, found.second_only, found.p) == (0, 0, 1.0)


def test_shares_of_very_many_draws_are_tested_in_seconds() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.binomial(1_009, 0.5, 200) / 1_009, rng.binomial(1_013, 0.6, 200) / 1_013
    assert mcnemar(a, b).p < 1e-6


def test_arrays_of_different_images_are_not_paired() -> None:
    with pytest.raises(ValueError, match="of one length"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))


def test_a_published_holm_correction() -> None:
    """Wikipedia, Holm-Bonferroni method: at 0.05 only the first and the last are rejected."""
    adjusted = holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [p < 0.05 for p in adjusted] == [True, False, False, True]


@given(p_values)
def test_holm_never_lowers_a_p_value_nor_changes_their_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(raw <= found <= 1 for raw, found in zip(values, adjusted, strict=True))
    for first, second in combinations(range(len(values)), 2):
        if values[first] <= values[second]:
            assert adjusted[first] <= adjusted[second]
    assert min(adjusted) == pytest.approx(min(1.0, len(values) * min(values)))


@given(p_values, st.floats(0.01, 0.2))
def test_holm_rejects_as_the_step_down_procedure_does(values: list[float], level: float) -> None:
    """Holm 1979: go through them by size and stop at the first above level / (what is left)."""
    rejected = set()
    for step, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        if values[index] * (len(values) - step) > level:
            break
        rejected.add(index)
    assert {index for index, p in enumerate(holm(values)) if p <= level} == rejected


def test_no_p_value_needs_no_correction() -> None:
    assert holm([]) == []


def test_ties_share_a_rank() -> None:
    assert ranks(["a", "b", "c"], [("a", "c"), ("b", "c")]) == {"a": "1=", "b": "1=", "c": "3"}
    assert ranks(["a", "b", "c"], [("a", "c")]) == {"a": "1=", "b": "1=", "c": "2"}
    assert ranks(["a", "b"], []) == {"a": "1=", "b": "1="}
    assert ranks(["a", "b"], [("b", "a")]) == {"a": "2", "b": "1"}
    assert ranks(["a"], []) == {"a": "1"}
