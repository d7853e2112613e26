"""Dominance: which defenses are at least as robust and as fast as another, and better in one.

A defense dominates another under a budget if

1. it is at least as robust: it beats the other in the worst case (paired test on the same images,
   Holm's correction), or the other does not beat it and is certainly less than a negligible gain
   ahead (a test of non-inferiority: the whole 95 % interval of the paired difference is below),
2. the other is not faster beyond the quartiles of the call times, and
3. it beats the other in the worst case, or is faster beyond the quartiles.

Only a defense whose worst case is sound dominates: a number that no informed attacker has tested,
or whose verdict is not ok, is an upper bound. No two defenses dominate each other. Dominance is not
transitive, because defenses that cannot be told apart need not be equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from bench.analysis.statistics import paired_difference
from bench.report.decision.answers import NEGLIGIBLE
from bench.report.decision.costs import CallTime
from bench.report.worst_case.budgets import ThreatBudget
from bench.report.worst_case.pairs import WORST_CASE, Pair


def never_ahead(pairs: Iterable[Pair]) -> dict[ThreatBudget, set[tuple[str, str]]]:
    """The (defense, other) of pairs in which the first is certainly not much better, by budget.

    The whole 95 % interval of its worst case less that of the other is below `NEGLIGIBLE` points.
    """
    found: dict[ThreatBudget, set[tuple[str, str]]] = {}
    for pair in pairs:
        if pair.basis != WORST_CASE:
            continue

        difference = paired_difference(pair.first.worst_case.right, pair.second.worst_case.right)
        names = (pair.first.defense, pair.second.defense)
        behind = found.setdefault(pair.first.budget, set())
        if 100 * difference.high < NEGLIGIBLE:
            behind.add(names)
        if -100 * difference.low < NEGLIGIBLE:
            behind.add((names[1], names[0]))

    return found


def dominators(
    name: str,
    others: Sequence[str],
    beaten: AbstractSet[tuple[str, str]],
    behind: AbstractSet[tuple[str, str]],
    times: Mapping[str, CallTime],
) -> list[str]:
    """The defenses that dominate one of them, in the order in which they are given.

    Args:
        name: defense that may be dominated.
        others: defenses under the same budget whose worst case is sound.
        beaten: (winner, loser) of every pair of defenses that differ significantly.
        behind: (defense, other) where the first is certainly not much better, see `never_ahead`.
        times: time of each defense; what was not timed neither dominates nor is dominated.
    """
    if name not in times:
        return []

    return [
        other
        for other in others
        if other in times
        and ((other, name) in beaten or (name, other) in behind - beaten)
        and not times[name].is_faster_than(times[other])
        and ((other, name) in beaten or times[other].is_faster_than(times[name]))
    ]
