"""The worst case by hand, and as a statistic by simulation with known probabilities."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.metrics import share
from bench.analysis.worst_case import WorstCase, right_in_all, worst_case

correctness = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5)).flatmap(
    lambda shape: st.lists(st.booleans(), min_size=prod(shape), max_size=prod(shape)).map(
        lambda values: np.reshape(values, shape).tolist()
    )
)
"""Booleans (attacks, draws, images)."""


def arrays(attacks: list[list[list[int]]]) -> list[np.ndarray]:
    return [np.array(right, bool) for right in attacks]


def by_hand(attacks: list[list[list[int]]]) -> WorstCase:
    return worst_case(arrays(attacks), randomized=True)


def test_a_deterministic_pipeline_is_right_where_no_attack_breaks_it() -> None:
    found = worst_case(arrays([[[1, 1, 1, 0]], [[1, 0, 1, 1]], [[1, 1, 0, 1]]]), randomized=False)
    assert found.right.tolist() == [1, 0, 0, 0]
    assert [found.right_in_all(count).tolist() for count in (1, 5)] == [[1, 0, 0, 0]] * 2


def test_the_attack_of_an_image_is_chosen_on_one_half_and_judged_on_the_other() -> None:
    """Two attacks, four draws, two images; draws 0, 1 and draws 2, 3 are the halves.

    Image 0: the first half chooses attack 1 (0 of 2), judged 1 of 2; the second chooses attack 0
    (0 of 2), judged 2 of 2. Image 1: attack 0 is never right.
    """
    attacks = [
        [[1, 0], [1, 0], [0, 0], [0, 0]],
        [[0, 1], [0, 1], [1, 1], [0, 1]],
    ]
    found = by_hand(attacks)
    assert [half.T.tolist() for half in found.judged] == [[[1, 0], [0, 0]], [[1, 1], [0, 0]]]
    assert found.right.tolist() == [0.75, 0]
    assert found.submissions == 2
    assert found.right_in_all(1).tolist() == [0.75, 0]
    assert found.right_in_all(2).tolist() == [0.5, 0]


def test_a_tie_goes_to_the_attack_that_is_stronger_on_all_images_then_to_the_first() -> None:
    """On image 0 all are alike; attack 1 breaks image 1, so it is judged: never right."""
    attacks = [[[1, 1]] * 2, [[1, 0], [0, 0]], [[1, 1], [1, 1]]]
    assert by_hand(attacks).judged[0].tolist() == [[0, 0]]
    same = [[[1, 0], [0, 1]], [[1, 0], [1, 0]]]
    assert by_hand(same).judged[0].tolist() == [[0, 1]]


def test_with_one_draw_one_attack_is_chosen_for_all_images() -> None:
    found = by_hand([[[1, 1, 1, 1]], [[1, 0, 0, 1]], [[0, 1, 1, 1]]])
    assert found.right.tolist() == [1, 0, 0, 1]
    assert found.submissions == 1


def test_the_odd_draw_counts_and_submissions_are_those_of_the_smaller_half() -> None:
    found = by_hand([[[1], [1], [0]]])
    assert found.right.tolist() == [0.75]  # judged on draws 1 and 2, and on draw 0
    assert found.submissions == 1
    assert found.right_in_all(1).tolist() == [0.75]


def test_an_attack_with_fewer_draws_sets_the_number() -> None:
    found = worst_case(arrays([[[1], [0], [1]], [[1], [1]]]), randomized=True)
    assert [half.shape for half in found.judged] == [(1, 1), (1, 1)]


@given(correctness)
def test_draws_that_agree_are_the_deterministic_worst_case(attacks: list[list[list[int]]]) -> None:
    alike = [[draws[0]] * 4 for draws in attacks]
    found = by_hand(alike)
    expected = worst_case(arrays([[draws[0]] for draws in attacks]), randomized=False)
    assert found.right.tolist() == expected.right.tolist()
    assert found.right_in_all(2).tolist() == expected.right.tolist()


@given(correctness)
def test_shares_lie_between_0_and_1_and_fall_with_the_number_of_submissions(
    attacks: list[list[list[int]]],
) -> None:
    found = by_hand(attacks)
    shares = [found.right_in_all(count) for count in range(1, found.submissions + 1)]
    assert np.allclose(shares[0], found.right)
    for fewer, more in pairwise(shares):
        assert (more <= fewer + 1e-12).all()
    assert (shares[-1] >= 0).all()
    assert (shares[0] <= 1).all()


@given(correctness, st.integers(1, 6))
def test_right_in_all_is_the_share_of_sets_of_draws_that_are_all_right(
    attacks: list[list[list[int]]], submissions: int
) -> None:
    right = np.array(attacks[0], bool)
    if submissions > len(right):
        with pytest.raises(ValueError, match="do not tell of"):
            right_in_all(right, submissions)
        return
    sets = list(combinations(right, submissions))
    expected = np.mean([np.logical_and.reduce(chosen) for chosen in sets], axis=0)
    assert right_in_all(right, submissions) == pytest.approx(expected)


def repetitions(
    p: np.ndarray, draws: int, attacks: int, rng: np.random.Generator
) -> tuple[np.ndarray, WorstCase]:
    """Independent draws under several attacks with probabilities (attacks, n) or (n,)."""
    right = rng.random((attacks, draws, p.shape[-1])) < np.broadcast_to(
        np.atleast_2d(p)[:, None], (attacks, draws, p.shape[-1])
    )
    return right, worst_case(list(right), randomized=True)


@pytest.mark.parametrize("draws", [2, 3, 8])
def test_it_is_unbiased_for_the_attack_chosen_unlike_a_choice_on_the_judged_draws(
    draws: int,
) -> None:
    """Under attacks that are alike, an image has the same probability whichever is chosen."""
    rng = np.random.default_rng(0)
    honest, naive = [], []
    for _ in range(600):
        p = rng.beta(2, 1, 60)
        right, found = repetitions(p, draws, 5, rng)
        honest.append(found.right.mean() - p.mean())
        naive.append(right.mean(axis=1).min(axis=0).mean() - p.mean())
    error = np.std(honest) / np.sqrt(len(honest))
    assert abs(np.mean(honest)) < 3 * error < 0.01
    assert np.mean(naive) < -10 * error


@pytest.mark.parametrize("draws", [2, 8])
def test_it_is_never_below_the_best_attack_on_each_image_and_not_above_one_for_all(
    draws: int,
) -> None:
    """Weak attacks beside a strong one: noisy choices must not help the defense."""
    rng = np.random.default_rng(1)
    excess = []
    for _ in range(200):
        strong = rng.beta(2, 1.5, 200)
        weak = np.clip(strong + rng.uniform(-0.05, 0.4, (15, 200)), 0, 1)
        p = np.concatenate([strong[None], weak])
        _, found = repetitions(p, draws, 16, rng)
        excess.append((found.right.mean() - p.min(axis=0).mean(), found.right.mean() - p[0].mean()))
    above_best, above_strong = np.mean(excess, axis=0)
    error = np.std(excess) / np.sqrt(len(excess))
    assert above_best > -3 * error
    assert above_strong < 0.01 + 3 * error


@pytest.mark.parametrize("draws", [2, 3, 8])
@pytest.mark.parametrize("shape", [(2.0, 1.0), (0.1, 0.1), (5.0, 0.5)])
def test_the_interval_covers_images_and_draws(draws: int, shape: tuple[float, float]) -> None:
    """Wilson's interval of 100 images holds the mean over all images in 95 % of the samples."""
    rng = np.random.default_rng(2)
    truth = shape[0] / sum(shape)
    covered = []
    for _ in range(400):
        _, found = repetitions(rng.beta(*shape, 100), draws, 4, rng)
        interval = share(found.right)
        covered.append(interval.low <= truth <= interval.high)
    assert np.mean(covered) > 0.925


@pytest.mark.parametrize("draws", [4, 5, 8])
def test_right_in_all_submissions_is_unbiased(draws: int) -> None:
    rng = np.random.default_rng(3)
    submissions = draws // 2
    errors = []
    for _ in range(400):
        p = rng.beta(3, 1, 60)
        _, found = repetitions(p, draws, 4, rng)
        errors.append(found.right_in_all(submissions).mean() - (p**submissions).mean())
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(len(errors)) < 0.01
