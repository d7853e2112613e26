"""Tests and rankings against their definitions and published examples."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

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
