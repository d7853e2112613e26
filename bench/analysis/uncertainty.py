"""Uncertainty: calibration of confidences, and numbers of an image as detectors of attacks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.records.outcome import REJECTED, Outcome

Array = NDArray[Any]

_BINS = 15
"""Number of equal bins of the confidence, that of Guo et al."""


def calibration_error(outcome: Outcome) -> float | None:
    """The expected calibration error of the defended pipeline on the clean images it accepts.

    None where an earlier version stored no confidences, NaN for a pipeline that rejects all images.
    """
    return _mean_error(outcome.clean_confidence, outcome.clean_defended, outcome.labels)


def adversarial_calibration_error(outcome: Outcome) -> float | None:
    """The same on the adversarial images."""
    return _mean_error(outcome.adversarial_confidence, outcome.adversarial_defended, outcome.labels)


def expected_calibration_error(confidence: Array, right: Array) -> float:
    """The mean distance of accuracy and confidence over 15 equal bins of the confidence.

    Source: Guo, Pleiss, Sun and Weinberger, ICML 2017 (arXiv:1706.04599), equation 3. As there, a
    bin is open below and closed above. The error of few images is biased upwards.

    Args:
        confidence: probability of the predicted class, (n,) in [0, 1].
        right: whether the prediction is right, bool (n,).

    Returns:
        a number in [0, 1]; NaN for no image.
    """
    if not len(confidence):
        return math.nan

    bins = np.clip(np.ceil(confidence * _BINS).astype(int), 1, _BINS)
    apart = np.bincount(bins, weights=right - confidence.astype(float), minlength=_BINS + 1)
    return float(np.abs(apart).sum() / len(confidence))


def detection_scores(outcome: Outcome) -> dict[str, float]:
    """How well each number of an image tells adversarial from clean images, by name.

    It is the AUROC of `auroc`, the mean over draws, on the images that the attack was run on. A
    number that is lower on adversarial images has a value below 0.5.
    """
    names = outcome.clean_extras.keys() & outcome.adversarial_extras.keys()
    return {
        name: _detection(outcome, outcome.clean_extras[name], outcome.adversarial_extras[name])
        for name in sorted(names)
    }


def low_confidence_score(outcome: Outcome) -> float | None:
    """The same of a low confidence, the detector that every pipeline has (arXiv:1610.02136).

    None where an earlier version stored no confidences.
    """
    clean, adversarial = outcome.clean_confidence, outcome.adversarial_confidence
    if clean is None or adversarial is None:
        return None
    return _detection(outcome, -clean, -adversarial)


def auroc(negatives: Array, positives: Array) -> float:
    """The probability that a number is larger for a positive than for a negative.

    It is the area under the receiver operating characteristic, as the Mann-Whitney statistic: ties
    count half, and NaN is left out.

    Args:
        negatives: numbers of the negatives, (n,).
        positives: numbers of the positives, (m,).

    Returns:
        a number in [0, 1]; NaN without a positive or a negative.
    """
    ranked = np.sort(negatives[~np.isnan(negatives)])
    found = positives[~np.isnan(positives)]
    if not len(ranked) or not len(found):
        return math.nan

    below = np.searchsorted(ranked, found, side="left")
    up_to = np.searchsorted(ranked, found, side="right")
    return float((below + up_to).mean() / (2 * len(ranked)))


def _mean_error(confidence: Array | None, predictions: Array, labels: Array) -> float | None:
    """The expected calibration error on accepted images, the mean over draws (m, n)."""
    if confidence is None:
        return None

    errors = []
    for sure, predicted in zip(confidence, predictions, strict=True):
        accepted = predicted != REJECTED
        right = predicted[accepted] == labels[accepted]
        errors.append(expected_calibration_error(sure[accepted], right))

    return float(np.mean(errors))


def _detection(outcome: Outcome, clean: Array, adversarial: Array) -> float:
    """The AUROC of numbers of clean and adversarial images (m, n), the mean over draws."""
    of_draws = zip(clean[:, outcome.attacked], adversarial[:, outcome.attacked], strict=True)
    return float(np.mean([auroc(negatives, positives) for negatives, positives in of_draws]))
