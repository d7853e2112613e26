"""How far draws disagree, against entropies."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from defenses._disagreement import disagreement


def entropy(probabilities: list[float]) -> float:
    return -sum(p * math.log(p) for p in probabilities if p > 0)


@given(
    st.integers(2, 4).flatmap(
        lambda classes: st.lists(
            st.lists(st.floats(-20, 20, width=32), min_size=classes, max_size=classes),
            min_size=1,
            max_size=6,
        )
    )
)
def test_it_is_the_entropy_of_the_mean_less_the_mean_entropy(logits: list[list[float]]) -> None:
    found = float(disagreement(torch.tensor(logits, dtype=torch.float64)[:, None])[0])

    each = [
        [math.exp(value - max(draw)) / sum(math.exp(v - max(draw)) for v in draw) for value in draw]
        for draw in logits
    ]
    mean = [sum(column) / len(each) for column in zip(*each, strict=True)]
    expected = entropy(mean) - sum(map(entropy, each)) / len(each)
    assert found == pytest.approx(expected, abs=1e-9)
    assert -1e-9 <= found <= math.log(len(logits)) + 1e-9


def test_certain_draws_of_two_classes_disagree_by_the_logarithm_of_two() -> None:
    certain = torch.tensor([[100.0, 0.0], [0.0, 100.0]])[:, None]
    assert float(disagreement(certain)) == pytest.approx(math.log(2))
    assert float(disagreement(certain[[0, 0]])) == 0
