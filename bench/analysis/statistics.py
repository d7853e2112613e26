"""Paired tests of two pipelines on the same images, and rankings with ties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

Array = NDArray[Any]

ALPHA = 0.05
"""Level of significance: a smaller p-value counts as a difference."""


@dataclass(frozen=True)
class Paired:
    """Result of the exact McNemar test of two pipelines on the same images.

    Attributes:
        first_only: number of images that only the first classifies correctly, or in more draws.
        second_only: number of images that only the second classifies correctly, or in more draws.
        p: two-sided p-value, a sign test on the images on which the two disagree.
    """

    first_only: int
    second_only: int
    p: float


def mcnemar(first: Array, second: Array) -> Paired:
    """The exact McNemar test (McNemar 1947), image by image.

    Args:
        first: correctness of one pipeline, (n,): booleans, or for a randomized pipeline the share
            of draws that are right, which makes this the sign test on images whose shares differ.
        second: correctness of the other pipeline, (n,), over as many draws.

    Raises:
        ValueError: the arrays differ in length.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            f"paired arrays must be of one length, not {first.shape} and {second.shape}"
        )

    first_only = int((first > second).sum())
    second_only = int((second > first).sum())
    disagree = first_only + second_only
    tail = float(bdtr(min(first_only, second_only), disagree, 0.5))
    p = min(1.0, 2 * tail)  # both tails, which overlap where the counts are equal

    return Paired(first_only, second_only, p)


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
