"""Which defense beats which within a ball, image by image, and the ranking that follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.checks import Verdict
from bench.analysis.statistics import ALPHA, Paired, holm, mcnemar, ranks
from bench.report.worst_case import UNSEEN, DefenseUnderBudget, ThreatBudget

Array = NDArray[Any]

COLUMNS = (
    *(
        "dataset",
        "classifier",
        "norm",
        "eps",
        "seed",
        "basis",
        "defense_a",
        "defense_b",
        "accuracy_a",
        "accuracy_b",
    ),
    *("a_only", "b_only", "p", "p_holm", "verdict", "note"),
)
WORST_CASE = "worst case"


@dataclass(frozen=True, eq=False)
class Pair:
    """Two defenses on the same images of a ball.

    Attributes:
        basis: what is compared: the worst case, or the strongest gray-box attack on each, right in
            every draw.
        first: a defense.
        second: another.
        accuracies: the share of images right for each.
        test: the exact McNemar test.
        p_holm: its p-value, corrected for the number of pairs in this ball.
    """

    basis: str
    first: DefenseUnderBudget
    second: DefenseUnderBudget
    accuracies: tuple[float, float]
    test: Paired
    p_holm: float

    @property
    def winner_and_loser(self) -> tuple[str, str] | None:
        """None where the two are not told apart."""
        if self.p_holm >= ALPHA:
            return None
        names = (self.first.defense, self.second.defense)
        return names if self.test.first_only > self.test.second_only else (names[1], names[0])

    def note(self, verdicts: Mapping[str, Verdict]) -> str:
        """What speaks against reading the pair as a comparison."""
        if self.basis != WORST_CASE:
            return ""
        unseen = [
            each.defense for each in (self.first, self.second) if each.note(verdicts) == UNSEEN
        ]
        notes = [f"{UNSEEN}: {', '.join(unseen)}"] if unseen else []
        return "; ".join(
            [
                *notes,
                *(
                    []
                    if _attacks(self.first) == _attacks(self.second)
                    else ["not the same attacks"]
                ),
            ]
        )


def all_pairs(standings: Sequence[DefenseUnderBudget]) -> list[Pair]:
    """Every pair of defenses of every ball, by worst case and by gray box.

    Each ball and basis corrected by itself.
    """
    balls: dict[ThreatBudget, list[DefenseUnderBudget]] = {}
    for standing in standings:
        balls.setdefault(standing.ball, []).append(standing)
    bases: tuple[tuple[str, Callable[[DefenseUnderBudget], Array | None]], ...] = (
        (WORST_CASE, lambda standing: standing.robust),
        ("graybox", _graybox),
    )
    return [
        pair
        for found in balls.values()
        for basis, right in bases
        for pair in _pairs(found, basis, right)
    ]


def rankings(
    standings: Sequence[DefenseUnderBudget], pairs: Iterable[Pair]
) -> dict[tuple[ThreatBudget, str], str]:
    """The rank of each defense of a ball: 1 + the number of those whose worst case is better beyond chance."""
    defenses: dict[ThreatBudget, list[str]] = {}
    for standing in standings:
        defenses.setdefault(standing.ball, []).append(standing.defense)
    beaten: dict[ThreatBudget, list[tuple[str, str]]] = {ball: [] for ball in defenses}
    for pair in pairs:
        if pair.basis == WORST_CASE and pair.winner_and_loser:
            beaten[pair.first.ball].append(pair.winner_and_loser)
    return {
        (ball, name): rank
        for ball, names in defenses.items()
        for name, rank in ranks(names, beaten[ball]).items()
    }


def pairs_frame(pairs: Iterable[Pair], verdicts: Mapping[str, Verdict]) -> pd.DataFrame:
    """One row per pair and basis."""
    return pd.DataFrame([_row(pair, verdicts) for pair in pairs], columns=list(COLUMNS))


def _pairs(
    standings: Sequence[DefenseUnderBudget],
    basis: str,
    right: Callable[[DefenseUnderBudget], Array | None],
) -> list[Pair]:
    known = [(each, found) for each in standings if (found := right(each)) is not None]
    both = list(combinations(known, 2))
    tests = [mcnemar(first, second) for (_, first), (_, second) in both]
    corrected = holm([test.p for test in tests])
    return [
        Pair(basis, one, other, (float(first.mean()), float(second.mean())), test, p)
        for ((one, first), (other, second)), test, p in zip(both, tests, corrected, strict=True)
    ]


def _graybox(standing: DefenseUnderBudget) -> Array | None:
    cell = standing.graybox
    return None if cell is None else np.asarray(cell.right_in_every_draw)


def _attacks(standing: DefenseUnderBudget) -> set[tuple[object, ...]]:
    return {
        tuple(cell.record.labels[axis] for axis in ("attack", "eps", "threat"))
        for cell in standing.cells
    }


def _row(pair: Pair, verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    decided = pair.winner_and_loser
    return {
        **vars(pair.first.ball),
        "basis": pair.basis,
        "defense_a": pair.first.defense,
        "defense_b": pair.second.defense,
        "accuracy_a": pair.accuracies[0],
        "accuracy_b": pair.accuracies[1],
        "a_only": pair.test.first_only,
        "b_only": pair.test.second_only,
        "p": pair.test.p,
        "p_holm": pair.p_holm,
        "verdict": f"{decided[0]} beats {decided[1]}" if decided else "tie",
        "note": pair.note(verdicts),
    }
