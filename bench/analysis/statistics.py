"""Paired tests of two pipelines on the same images, and rankings with ties."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Array = NDArray[Any]

ALPHA = 0.05
"""Level of significance: a smaller p-value counts as a difference."""

_Z = NormalDist().inv_cdf(1 - ALPHA / 2)
"""Quantile of the normal distribution for a 95 % interval."""

_Z_POWER = NormalDist().inv_cdf(0.8)
"""Quantile of the normal distribution for a power of 80 %."""

_FINEST = 1_000
"""Largest denominator in whose units differences are exact; finer ones are rounded to it."""


@dataclass(frozen=True)
class Paired:
    """Result of the paired test of two pipelines on the same images.

    Attributes:
        first_only: number of images that only the first classifies correctly, or in more draws.
        second_only: number of images that only the second classifies correctly, or in more draws.
        difference: accuracy of the first less that of the second.
        p: two-sided p-value.
    """

    first_only: int
    second_only: int
    difference: float
    p: float


def mcnemar(first: Array, second: Array) -> Paired:
    """The exact McNemar test (McNemar 1947), image by image.

    For shares of draws it is the permutation test of Fisher (1935), which compares the means: under
    the null hypothesis the difference at an image is as likely to have the other sign. For booleans
    the two tests are the same.

    Args:
        first: correctness of one pipeline, (n,): booleans, or for a randomized pipeline the share
            of draws that are right.
        second: correctness of the other pipeline, (n,).

    Raises:
        ValueError: the arrays differ in length.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            f"paired arrays must be of one length, not {first.shape} and {second.shape}"
        )

    differences = first.astype(float) - second.astype(float)
    units = _in_units(differences)
    mean = float(differences.mean()) if len(differences) else 0.0

    return Paired(int((units > 0).sum()), int((units < 0).sum()), mean, _sign_flip_p(units))


@dataclass(frozen=True)
class PairedDifference:
    """The difference of two accuracies on the same images, with its 95 % interval.

    Attributes:
        value: accuracy of the first less that of the second, in [-1, 1].
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float


def paired_difference(first: Array, second: Array) -> PairedDifference:
    """The difference of two accuracies with the adjusted Wald interval of Bonett and Price (2012).

    One image that only the first gets right, and one that only the second does, are added before
    the interval of the mean difference is taken. It covers images and, for shares of draws, draws
    too; without a difference on any image it still has a width.

    Args:
        first: correctness of one pipeline, (n,) with n > 0: booleans, or shares of draws.
        second: correctness of the other pipeline, (n,).
    """
    differences = first.astype(float) - second.astype(float)
    n = len(differences) + 2
    mean = float(differences.sum()) / n
    variance = (float((differences**2).sum()) + 2) / n - mean**2
    half = _Z * math.sqrt(variance / n)

    return PairedDifference(
        float(differences.mean()), max(-1.0, mean - half), min(1.0, mean + half)
    )


def images_to_tell(first: Array, second: Array, tests: int = 1) -> float:
    """The number of images on which a difference as large as the one seen is found in four of five.

    The formula is that of Connor (1987) for the McNemar test at level 0.05 and a power of 80 %. It
    takes the difference that was seen for the true one, so it tells the order of magnitude. Among
    several tests the level is divided by their number (Bonferroni), which is the step at which
    Holm's method holds the smallest of the p-values that are left.

    Args:
        first: correctness of one pipeline, (n,) with n > 0: booleans, or shares of draws.
        second: correctness of the other pipeline, (n,).
        tests: number of tests that are corrected together and not yet significant, at least 1.

    Returns:
        A number of images, at least 1; infinite where the accuracies are equal.
    """
    differences = first.astype(float) - second.astype(float)
    mean = float(differences.mean())
    discordant = float((differences**2).mean())
    if mean == 0:
        return math.inf

    z = NormalDist().inv_cdf(1 - ALPHA / tests / 2)
    root = z * math.sqrt(discordant) + _Z_POWER * math.sqrt(max(0.0, discordant - mean**2))
    return max(1.0, (root / mean) ** 2)


def _in_units(differences: Array) -> Array:
    """Differences of shares as integers, in units of their common denominator, (n,)."""
    values, index = np.unique(differences, return_inverse=True)
    fractions = [Fraction(value).limit_denominator(_FINEST) for value in values.tolist()]
    unit = min(lcm(*(fraction.denominator for fraction in fractions)), _FINEST)

    return np.asarray(np.rint(values * unit).astype(int)[index])


def _sign_flip_p(differences: Array) -> float:
    """The two-sided p-value of a sum of integers, each of which has a random sign.

    The distribution of the sum of the positive ones is computed exactly, size by size.
    """
    distribution = np.ones(1)
    sizes, counts = np.unique(np.abs(differences), return_counts=True)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        if size:
            distribution = _plus_binomial(distribution, size, count)

    positive = int(differences[differences > 0].sum())
    tail = min(positive, len(distribution) - 1 - positive)
    return min(1.0, 2 * float(distribution[: tail + 1].sum()))  # the tails may overlap


def _plus_binomial(distribution: Array, size: int, count: int) -> Array:
    """The distribution of a sum after adding `size` times the number of heads in `count` tosses."""
    heads = np.arange(count + 1)
    logarithms = gammaln(count + 1) - gammaln(heads + 1) - gammaln(count - heads + 1)
    probabilities = np.exp(logarithms - count * np.log(2))

    total = np.zeros(len(distribution) + size * count)
    for start, probability in zip(range(0, size * count + 1, size), probabilities, strict=True):
        total[start : start + len(distribution)] += probability * distribution
    return total


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for the number of tests by the method of Holm (1979), each at most 1."""
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(order)
    largest = 0.0

    for position, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - position) * p_values[index]))
        adjusted[index] = largest

    return adjusted


def ranks(names: Sequence[str], beaten: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The rank of each name: 1 + the number of names that beat it, and `=` for a shared rank.

    Args:
        names: names to rank.
        beaten: (winner, loser) of every pair that differs significantly.
    """
    losses = dict.fromkeys(names, 0)
    for _, loser in beaten:
        losses[loser] += 1

    shared = list(losses.values())
    return {
        name: f"{1 + lost}{'=' if shared.count(lost) > 1 else ''}" for name, lost in losses.items()
    }
