"""Counts of successes: lower bounds on their probability, and the test of two classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, betaincinv


def lower_bounds(trials: int, alpha: float) -> NDArray[np.float64]:
    """The lower confidence bounds of Clopper and Pearson 1934 on a probability.

    Args:
        trials: number of trials.
        alpha: probability with which the bound may be wrong, in (0, 1).

    Returns:
        the bound for each number of successes from 0 to `trials`.
    """
    successes = np.arange(1, trials + 1)
    bounds = betaincinv(successes, trials - successes + 1, alpha)
    return np.concatenate([np.zeros(1), bounds])


def fewest_votes(voters: int, alpha: float) -> NDArray[np.int64]:
    """The votes with which the first of two classes passes the two-sided binomial test.

    It tests against the hypothesis that both classes are as likely (Hung, Fithian 2019, which Cohen
    et al. 2019 use in their algorithm PREDICT).

    Args:
        voters: largest number of votes for both classes together.
        alpha: level of the test, in (0, 1).

    Returns:
        the fewest votes for the first class, for each number of votes for both from 0 to `voters`;
        one more than all of them where even all are too few.
    """
    fewest = np.zeros(voters + 1, dtype=np.int64)
    needed = 0
    for both in range(voters + 1):
        while 2 * bdtrc(needed - 1, both, 0.5) > alpha:
            needed += 1
        fewest[both] = needed

    return fewest
