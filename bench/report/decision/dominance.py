"""Dominance: which defenses are at least as robust and as fast as another, and better in one.

A defense dominates another under a budget if

1. the other does not beat it in the worst case (paired test on the same images, Holm's correction),
2. the other is not faster beyond the quartiles of the call times, and
3. it beats the other in the worst case, or is faster beyond the quartiles.

Only a defense whose worst case is sound dominates: a number that no informed attacker has tested,
or whose verdict is not ok, is an upper bound. No two defenses dominate each other. Dominance is not
transitive, because defenses that cannot be told apart need not be equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from bench.report.decision.costs import CallTime


def dominators(
    name: str,
    others: Sequence[str],
    beaten: AbstractSet[tuple[str, str]],
    times: Mapping[str, CallTime],
) -> list[str]:
    """The defenses that dominate one of them, in the order in which they are given.

    Args:
        name: defense that may be dominated.
        others: defenses under the same budget whose worst case is sound.
        beaten: (winner, loser) of every pair of defenses that differ significantly.
        times: time of each defense; what was not timed neither dominates nor is dominated.
    """
    if name not in times:
        return []

    return [
        other
        for other in others
        if other in times
        and (name, other) not in beaten
        and not times[name].is_faster_than(times[other])
        and ((other, name) in beaten or times[other].is_faster_than(times[name]))
    ]
