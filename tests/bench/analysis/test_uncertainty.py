"""Calibration and detection against cases worked out by hand and plain loops."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.uncertainty import (
    adversarial_calibration_error,
    auroc,
    calibration_error,
    detection_scores,
    expected_calibration_error,
    low_confidence_score,
)
from bench.records.outcome import REJECTED


def test_a_calibration_error_worked_out_by_hand() -> None:
    """Bins are (k/15, (k+1)/15]: .30 and .33 share the fifth, .95 and 1 the last."""
    confidence = np.array([0.30, 0.33, 0.50, 0.95, 1.00])
    right = np.array([True, False, False, True, False])
    # |1 - .63| + |0 - .50| + |1 - 1.95|, over five images.
    assert expected_calibration_error(confidence, right) == pytest.approx((0.37 + 0.5 + 0.95) / 5)


@pytest.mark.parametrize(
    ("confidence", "right", "error"),
    [
        ([1.0] * 4, [1, 1, 1, 1], 0.0),
        ([1.0] * 4, [1, 1, 1, 0], 0.25),
        ([0.75] * 4, [1, 1, 1, 0], 0.0),
        ([0.0], [0], 0.0),
        ([3 / 15, 3 / 15 + 1e-6], [1, 0], (1 - 3 / 15 + 3 / 15) / 2),  # a bin is closed above
        ([3 / 15, 3 / 15 - 1e-6], [1, 0], (1 - 6 / 15) / 2),
    ],
)
def test_calibration_at_the_edges(confidence: Any, right: Any, error: float) -> None:
    found = expected_calibration_error(np.array(confidence, np.float32), np.array(right, bool))
    assert found == pytest.approx(error, abs=1e-5)


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=40))
def test_the_calibration_error_is_the_plain_loop_over_bins(pairs: list[tuple[float, bool]]) -> None:
    expected = 0.0
    for k in range(15):
        inside = [p for p in pairs if k / 15 < p[0] <= (k + 1) / 15 or (k == 0 and p[0] == 0)]
        if inside:
            accuracy = sum(right for _, right in inside) / len(inside)
            confidence = sum(sure for sure, _ in inside) / len(inside)
            expected += len(inside) / len(pairs) * abs(accuracy - confidence)

    confidence_, right_ = (np.array(column) for column in zip(*pairs, strict=True))
    assert expected_calibration_error(confidence_, right_) == pytest.approx(expected, abs=1e-9)


def test_no_image_has_no_calibration_error() -> None:
    assert math.isnan(expected_calibration_error(np.array([]), np.array([], bool)))


_SCORES = st.lists(st.one_of(st.integers(-3, 3).map(float), st.just(math.nan)), max_size=12)


@given(_SCORES, _SCORES)
def test_the_auroc_is_the_mann_whitney_statistic(negatives: Any, positives: Any) -> None:
    pairs = [
        1.0 if positive > negative else 0.5 if positive == negative else 0.0
        for negative in negatives
        for positive in positives
        if not math.isnan(negative) and not math.isnan(positive)
    ]
    found = auroc(np.array(negatives, float), np.array(positives, float))
    expected = sum(pairs) / len(pairs) if pairs else math.nan
    assert found == pytest.approx(expected, nan_ok=True)


def test_outcomes_give_the_mean_over_draws_on_attacked_and_accepted_images(made: Any) -> None:
    n = 20
    first = np.arange(n) < 10
    outcome = made.outcome([first, first], [first, first])
    assert calibration_error(outcome) is None
    assert adversarial_calibration_error(outcome) is None
    assert low_confidence_score(outcome) is None
    assert detection_scores(outcome) == {}

    attacked = np.arange(n) >= 2
    clean = np.stack([np.full(n, 0.9), np.full(n, 0.6)])
    adversarial = clean - np.where(np.arange(n) < 2, 0.5, 0.1)
    told = np.stack([np.zeros(n), np.arange(n)]).astype(float)
    outcome = replace(
        outcome,
        attacked=attacked,
        clean_confidence=clean,
        adversarial_confidence=adversarial,
        clean_extras={"told": told, "clean_only": told},
        adversarial_extras={"told": told + 1},
    )

    # Half of the images are right, in both draws.
    assert calibration_error(outcome) == pytest.approx((0.4 + 0.1) / 2)
    assert low_confidence_score(outcome) == 1.0
    shifted = np.arange(2, n)
    second = auroc(shifted, shifted + 1)
    assert detection_scores(outcome) == {"told": pytest.approx((1 + second) / 2)}

    rejected = replace(outcome, clean_defended=np.where(first, outcome.clean_defended, REJECTED))
    assert calibration_error(rejected) == pytest.approx((0.1 + 0.4) / 2)
    everything = np.full_like(outcome.clean_defended, REJECTED)
    assert math.isnan(calibration_error(replace(outcome, clean_defended=everything)) or 0.0)
