"""Defenses under a budget: all attacks on a defense within it, image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.analysis.outcomes import EvaluatedCell, by_pipeline
from bench.analysis.verdict import Verdict
from bench.records.cell import CellRecord
from bench.records.pipeline import Pipeline
from bench.report.columns import norm_name

Array = NDArray[Any]
AttackLabels = tuple[Any, ...]

NO_ADAPTIVE_ATTACK = "no valid attack saw the defense"
"""Note on a worst case that says nothing about an attacker who knows the defense."""

DECISIONS_ONLY = "only decision-based attacks saw the defense"
"""Note on a worst case in which no attack followed the gradient through the defense."""


@dataclass(frozen=True)
class ThreatBudget:
    """The limits of an attacker; defenses are compared under the same budget.

    Attributes:
        dataset: name of the data set.
        classifier: spec of the classifier.
        norm: norm that `eps` bounds.
        eps: largest size of a perturbation, on the [0, 1] scale.
        seed: seed of the training and of the attacks.
    """

    dataset: str
    classifier: str
    norm: str
    eps: float
    seed: int


@dataclass(frozen=True, eq=False)
class DefenseUnderBudget:
    """A defense and all attacks on it within a budget.

    Attributes:
        budget: limits of the attacker.
        defense: spec of the defense.
        cells: ok cells of the same norm whose epsilon is at most that of the budget; a smaller
            perturbation lies within the larger budget too.
        failed: number of failed cells within the budget.
        missing_attacks: number of attacks that other defenses faced under this budget and this
            one did not.
    """

    budget: ThreatBudget
    defense: str
    cells: tuple[EvaluatedCell, ...]
    failed: int
    missing_attacks: int = 0

    @property
    def attacks(self) -> set[AttackLabels]:
        """Attack, epsilon and threat model of each cell."""
        return {
            tuple(cell.record.labels[axis] for axis in ("attack", "eps", "threat"))
            for cell in self.cells
        }

    @property
    def right_under_all_attacks(self) -> Array:
        """Whether the pipeline is right on the clean and on every adversarial image, (n,).

        An image counts only where it is right in every draw.
        """
        right = [cell.right_in_every_draw & cell.clean_right_in_every_draw for cell in self.cells]

        return np.asarray(np.logical_and.reduce(right))

    @property
    def strongest_graybox(self) -> EvaluatedCell | None:
        """The strongest gray-box attack at exactly this epsilon, whose accuracy papers print."""
        cells = [
            cell
            for cell in self.cells
            if cell.record.properties.threat == "graybox" and cell.eps == self.budget.eps
        ]

        return min(cells, key=mean_accuracy) if cells else None

    @property
    def strongest(self) -> EvaluatedCell:
        """The single cell of the lowest accuracy; among equal cells that of the largest epsilon."""
        return min(self.cells, key=lambda cell: (mean_accuracy(cell), -cell.eps))

    def not_ok(self, verdicts: Mapping[str, Verdict]) -> str:
        """The numbers of cells that are not ok, such as `2 invalid, 1 suspect`."""
        levels = Counter(verdicts[cell.record.key].level for cell in self.cells)
        counts = {
            "invalid": levels["invalid"],
            "suspect": levels["suspect"],
            "failed": self.failed,
            "not faced": max(0, self.missing_attacks - self.failed),
        }

        return ", ".join(f"{count} {name}" for name, count in counts.items() if count)

    def note(self, verdicts: Mapping[str, Verdict]) -> str:
        """What the worst case lacks: any valid attack on the defense, or one by its gradient.

        A gray-box attacker sees everything of the undefended classifier, the defense `none`.
        """
        adaptive = [
            cell
            for cell in self.cells
            if cell.eps > 0
            and verdicts[cell.record.key].level != "invalid"
            and _sees_pipeline(cell, undefended=self.defense == "none")
        ]
        if not adaptive:
            return NO_ADAPTIVE_ATTACK

        attacks = (cell.record.properties for cell in adaptive)
        by_gradient = any(attack.gradient and attack.access == "gradient" for attack in attacks)
        return "" if by_gradient else DECISIONS_ONLY


def mean_accuracy(cell: EvaluatedCell) -> float:
    """The robust accuracy of a cell, the mean over draws."""
    return float(cell.right.mean())


def defenses_under_budgets(
    records: Iterable[CellRecord], cells: Sequence[EvaluatedCell]
) -> list[DefenseUnderBudget]:
    """Every defense under every budget at which it was attacked, sorted by budget.

    Args:
        records: records of all cells, the failed ones included.
        cells: cells that are ok.
    """
    failed = Counter(
        (record.pipeline, norm_name(record), record.eps)
        for record in records
        if record.status == "failed"
    )
    defenses = [
        defense
        for pipeline, group in by_pipeline(cells).items()
        for defense in _of_pipeline(pipeline, group, failed)
    ]

    attacks: dict[ThreatBudget, set[AttackLabels]] = {}
    for defense in defenses:
        attacks.setdefault(defense.budget, set()).update(defense.attacks)

    return _sorted_by_budget(
        [
            replace(defense, missing_attacks=len(attacks[defense.budget] - defense.attacks))
            for defense in defenses
        ]
    )


def _of_pipeline(
    pipeline: Pipeline,
    cells: Sequence[EvaluatedCell],
    failed: Mapping[tuple[Pipeline, str, float], int],
) -> Iterator[DefenseUnderBudget]:
    """A pipeline's defense under every norm and epsilon of its cells."""
    for norm in dict.fromkeys(norm_name(cell.record) for cell in cells):
        norm_cells = [cell for cell in cells if norm_name(cell.record) == norm]
        for eps in sorted({cell.eps for cell in norm_cells}):
            seed = pipeline.seed or 0
            yield DefenseUnderBudget(
                ThreatBudget(pipeline.dataset, pipeline.classifier, norm, eps, seed),
                pipeline.defense,
                tuple(cell for cell in norm_cells if cell.eps <= eps),
                sum(
                    count
                    for (failed_pipeline, failed_norm, failed_eps), count in failed.items()
                    if (failed_pipeline, failed_norm) == (pipeline, norm) and failed_eps <= eps
                ),
            )


def _sorted_by_budget(defenses: Sequence[DefenseUnderBudget]) -> list[DefenseUnderBudget]:
    """Sorted by budget: names in the order in which they appear, epsilons by size."""
    order: dict[str, int] = {}
    for defense in defenses:
        budget = defense.budget
        for name in (budget.dataset, budget.classifier, budget.norm):
            order.setdefault(name, len(order))

    def position(defense: DefenseUnderBudget) -> tuple[int, int, int, float, int]:
        budget = defense.budget
        names = (order[budget.dataset], order[budget.classifier], order[budget.norm])
        return *names, budget.eps, budget.seed

    return sorted(defenses, key=position)


def _sees_pipeline(cell: EvaluatedCell, undefended: bool) -> bool:
    """Whether the attacker sees the whole pipeline that is evaluated."""
    properties = cell.record.properties
    return properties.sees_defense or (undefended and properties.threat == "graybox")
