"""Pairs of defenses under the same budget, image by image, and the ranks that follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.statistics import ALPHA, Paired, holm, mcnemar, ranks
from bench.analysis.verdict import Verdict
from bench.report.worst_case.basis import DOUBTS
from bench.report.worst_case.budgets import DefenseUnderBudget, ThreatBudget

Array = NDArray[Any]

COLUMNS = (
    *("dataset", "classifier", "norm", "eps", "seed", "basis", "defense_a", "defense_b"),
    *("accuracy_a", "accuracy_b", "a_only", "b_only", "p", "p_holm", "result", "note"),
)
WORST_CASE = "worst case"
GRAYBOX = "graybox"


@dataclass(frozen=True, eq=False)
class Pair:
    """Two defenses on the same images under the same budget.

    Attributes:
        basis: shares of draws in which an image is right: `worst case` for those under the attack
            chosen for the image, `graybox` for those under the strongest gray-box attack on each
            defense.
        first: defense A.
        second: defense B.
        accuracies: means over images, for A and B.
        test: result of the paired test.
        p_holm: p-value corrected for the number of pairs under this budget.
    """

    basis: str
    first: DefenseUnderBudget
    second: DefenseUnderBudget
    accuracies: tuple[float, float]
    test: Paired
    p_holm: float

    @property
    def winner_and_loser(self) -> tuple[str, str] | None:
        """The defense of the higher accuracy, and the other; None for a tie."""
        if self.p_holm >= ALPHA:
            return None

        names = (self.first.defense, self.second.defense)
        return names if self.test.difference > 0 else (names[1], names[0])

    def note(self, verdicts: Mapping[str, Verdict]) -> str:
        """Reasons not to read the pair as a comparison; empty for none."""
        if self.basis != WORST_CASE:
            return ""

        notes = []
        for doubt in DOUBTS:
            defenses = [
                defense.defense
                for defense in (self.first, self.second)
                if doubt in defense.basis(verdicts).doubts
            ]
            if defenses:
                notes.append(f"{doubt}: {', '.join(defenses)}")
        if self.first.attacks != self.second.attacks:
            notes.append("not the same attacks")

        return "; ".join(notes)


def all_pairs(defenses: Sequence[DefenseUnderBudget]) -> list[Pair]:
    """Every pair of defenses under every budget, by worst case and by gray box.

    P-values are corrected within each budget and basis.
    """
    bases: dict[str, Callable[[DefenseUnderBudget], Array | None]] = {
        WORST_CASE: lambda defense: defense.worst_case.right,
        GRAYBOX: right_under_graybox,
    }

    return [
        pair
        for group in _by_budget(defenses).values()
        for basis, right in bases.items()
        for pair in _pairs(group, basis, right)
    ]


def rankings(
    defenses: Sequence[DefenseUnderBudget], pairs: Iterable[Pair]
) -> dict[tuple[ThreatBudget, str], str]:
    """The rank of each defense under each budget: 1 + the number of defenses that beat it.

    A defense beats another if its worst case is significantly better.
    """
    beaten = beaten_in_the_worst_case(pairs)

    return {
        (budget, name): rank
        for budget, group in _by_budget(defenses).items()
        for name, rank in ranks(
            [defense.defense for defense in group], beaten.get(budget, set())
        ).items()
    }


def beaten_in_the_worst_case(pairs: Iterable[Pair]) -> dict[ThreatBudget, set[tuple[str, str]]]:
    """The (winner, loser) of every pair whose worst cases differ significantly, by budget."""
    beaten: dict[ThreatBudget, set[tuple[str, str]]] = {}
    for pair in pairs:
        if pair.basis == WORST_CASE and pair.winner_and_loser:
            beaten.setdefault(pair.first.budget, set()).add(pair.winner_and_loser)

    return beaten


def ties_in_the_worst_case(pairs: Iterable[Pair]) -> Counter[ThreatBudget]:
    """The number of pairs whose worst cases do not differ significantly, by budget."""
    return Counter(
        pair.first.budget
        for pair in pairs
        if pair.basis == WORST_CASE and not pair.winner_and_loser
    )


def pairs_frame(pairs: Iterable[Pair], verdicts: Mapping[str, Verdict]) -> pd.DataFrame:
    """One row per pair and basis."""
    return pd.DataFrame([_row(pair, verdicts) for pair in pairs], columns=list(COLUMNS))


def _by_budget(
    defenses: Iterable[DefenseUnderBudget],
) -> dict[ThreatBudget, list[DefenseUnderBudget]]:
    groups: dict[ThreatBudget, list[DefenseUnderBudget]] = {}
    for defense in defenses:
        groups.setdefault(defense.budget, []).append(defense)

    return groups


def _pairs(
    defenses: Sequence[DefenseUnderBudget],
    basis: str,
    right: Callable[[DefenseUnderBudget], Array | None],
) -> list[Pair]:
    known = [(defense, images) for defense in defenses if (images := right(defense)) is not None]
    both = list(combinations(known, 2))
    tests = [mcnemar(first, second) for (_, first), (_, second) in both]
    corrected = holm([test.p for test in tests])

    return [
        Pair(basis, one, other, (float(first.mean()), float(second.mean())), test, p)
        for ((one, first), (other, second)), test, p in zip(both, tests, corrected, strict=True)
    ]


def right_under_graybox(defense: DefenseUnderBudget) -> Array | None:
    """Shares of draws right under the strongest gray-box attack, (n,); None without any."""
    cell = defense.strongest_graybox
    return None if cell is None else np.asarray(cell.right.mean(axis=0))


def _row(pair: Pair, verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    names = pair.winner_and_loser

    return {
        **vars(pair.first.budget),
        "basis": pair.basis,
        "defense_a": pair.first.defense,
        "defense_b": pair.second.defense,
        "accuracy_a": pair.accuracies[0],
        "accuracy_b": pair.accuracies[1],
        "a_only": pair.test.first_only,
        "b_only": pair.test.second_only,
        "p": pair.test.p,
        "p_holm": pair.p_holm,
        "result": f"{names[0]} beats {names[1]}" if names else "tie",
        "note": pair.note(verdicts),
    }
