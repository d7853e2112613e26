"""The worst case: accuracy under the attack that is chosen for each image.

An attack that is chosen and judged on the same draws of a randomized pipeline looks stronger than
it is, because the smallest of several noisy means is too small. Here it is chosen on one half of
the draws and judged on the other: cross-fitting (Chernozhukov et al. 2018, arXiv:1608.00060).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_FOLDS = 2
"""Number of groups of images; what one group shows decides between strategies for the others."""


@dataclass(frozen=True, eq=False)
class WorstCase:
    """Correctness of a pipeline under the attack that is chosen for each image.

    Attributes:
        judged: correctness in the draws on which the chosen attack was judged, bool (draws, n)
            each; one array for each way to divide the draws in two.
        randomized: whether a further draw may differ; else every submission has the same result.
    """

    judged: tuple[Array, ...]
    randomized: bool

    @property
    def right(self) -> Array:
        """Expected share of submissions in which each image is right, in [0, 1], (n,)."""
        return np.asarray(np.mean([draws.mean(axis=0) for draws in self.judged], axis=0))

    @property
    def submissions(self) -> int:
        """Number of draws in the smallest judged half."""
        return min(len(draws) for draws in self.judged)

    def right_in_all(self, submissions: int) -> Array:
        """Estimated probability that each image is right in all of so many submissions, (n,).

        Args:
            submissions: number of submissions; a randomized pipeline allows at most its own.
        """
        needed = submissions if self.randomized else 1
        estimates = [right_in_all(draws, needed) for draws in self.judged]

        return np.asarray(np.mean(estimates, axis=0))


def worst_case(attacks: Sequence[Array], *, randomized: bool) -> WorstCase:
    """The worst case over several attacks on the same images.

    Under a deterministic pipeline an image is right if it is right under every attack. Under a
    randomized one, the attack on an image is chosen by the mean over one half of the draws, and
    judged on the other half; both ways count. With a single draw, one attack is chosen for all
    images, and judged on the draw that it was chosen on.

    Args:
        attacks: correctness under each attack, bool (draws, n); the clean images count as one.
            Further draws than the fewest of an attack are left out.
        randomized: whether the pipeline is randomized.
    """
    draws = min(len(right) for right in attacks)
    right = np.stack([attack[:draws] for attack in attacks])

    if not randomized:
        return WorstCase((np.asarray(right.all(axis=0)),), randomized)
    if draws == 1:
        strongest = int(right.mean(axis=(1, 2)).argmin())
        return WorstCase((right[strongest],), randomized)

    first = right[:, : draws // 2]
    second = right[:, draws // 2 :]
    return WorstCase((_judged(first, second), _judged(second, first)), randomized)


def right_in_all(right: Array, submissions: int) -> Array:
    """The unbiased estimate of the probability that so many draws are all right, (n,).

    It is the share of the sets of so many recorded draws in which every draw is right.

    Args:
        right: correctness in independent draws, bool (draws, n).
        submissions: number of draws that must all be right.

    Raises:
        ValueError: there are fewer draws than submissions.
    """
    draws = len(right)
    if submissions > draws:
        raise ValueError(f"{draws} draws do not tell of {submissions} submissions")

    count = right.sum(axis=0)
    left = np.arange(submissions)[:, None]

    return np.asarray(np.prod(np.clip(count - left, 0, None) / (draws - left), axis=0))


def _judged(choosing: Array, judging: Array) -> Array:
    """Correctness under the attack chosen for each image, in other draws than those of the choice.

    An attacker with few draws may do better with one attack for all images than with noisy choices.
    What pays is decided by other images, so that no image has a say in how it is judged.

    Args:
        choosing: correctness in the draws that decide, bool (attacks, draws, n).
        judging: correctness in the other draws, bool (attacks, draws, n).

    Returns:
        Correctness in the other draws, bool (draws, n).
    """
    means = choosing.mean(axis=1)
    order = means.mean(axis=1).argsort(kind="stable")  # the strongest attack wins a tie
    images = np.arange(means.shape[1])
    for_each = judging[order[means[order].argmin(axis=0)], :, images].T
    for_all = judging[order[0]]

    chosen: Array = np.empty_like(for_all)
    for fold in range(_FOLDS):
        here = images % _FOLDS == fold
        better = for_each if for_each[:, ~here].sum() <= for_all[:, ~here].sum() else for_all
        chosen[:, here] = better[:, here]

    return chosen
