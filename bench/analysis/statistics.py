"""Tests on the same images, and rankings that show ties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

Array = NDArray[Any]

ALPHA = 0.05
"""Below this a difference counts as one."""


@dataclass(frozen=True)
class Paired:
    """Two pipelines on the same images.

    Attributes:
        first_only: images only the first gets right (or in more draws).
        second_only: images only the second does.
        p: of the exact two-sided McNemar test (a sign test on the images they disagree on).
    """

    first_only: int
    second_only: int
    p: float


def mcnemar(first: Array, second: Array) -> Paired:
    """The exact McNemar test (McNemar 1947) image by image.

    Args:
        first: right or wrong (n,); or of a stochastic pipeline the share of draws that are right,
            which makes it the sign test on the images whose shares differ.
        second: the same of the other, of as many draws.

    Raises:
        ValueError: they are not of the same length.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            f"paired arrays must be of one length, not {first.shape} and {second.shape}"
        )
    first_only, second_only = int((first > second).sum()), int((second > first).sum())
    disagree = first_only + second_only
    p = min(
        1.0, 2 * float(bdtr(min(first_only, second_only), disagree, 0.5))
    )  # both tails of the binomial
    return Paired(first_only, second_only, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, each at most 1 (Holm 1979): reject where it is below the level."""
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [0.0] * len(order), 0.0
    for position, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - position) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def ranks(names: Sequence[str], beaten: Iterable[tuple[str, str]]) -> dict[str, str]:
    """1 + the number of those that beat it, with `=` where several share a rank.

    Args:
        names: who is ranked.
        beaten: (winner, loser) of every pair that is told apart.
    """
    losses = dict.fromkeys(names, 0)
    for _, loser in beaten:
        losses[loser] += 1
    shared = list(losses.values())
    return {
        name: f"{1 + lost}{'=' if shared.count(lost) > 1 else ''}" for name, lost in losses.items()
    }
