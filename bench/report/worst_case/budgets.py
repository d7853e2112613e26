"""Defenses under a budget: all attacks on a defense within it, image by image."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bench.analysis.outcomes import EvaluatedCell, by_pipeline
from bench.analysis.verdict import LEVELS, Verdict
from bench.analysis.worst_case import WorstCase, worst_case
from bench.records.cell import CellRecord
from bench.records.pipeline import Pipeline
from bench.report.columns import norm_name
from bench.report.worst_case.basis import Basis, basis_of

AttackLabels = tuple[Any, ...]


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
            perturbation lies within the larger budget too. At least one; not those in which the
            attacker knows the draw of a randomized pipeline.
        fixed_draw: ok cells within the budget in which the attacker knows the draw.
        failed: number of failed cells within the budget.
        missing_attacks: number of attacks that other defenses faced under this budget and this
            one did not.
    """

    budget: ThreatBudget
    defense: str
    cells: tuple[EvaluatedCell, ...]
    fixed_draw: tuple[EvaluatedCell, ...]
    failed: int
    missing_attacks: int = 0

    @property
    def attacks(self) -> set[AttackLabels]:
        """Attack, epsilon and threat model of each cell, those with a known draw included."""
        return {
            tuple(cell.record.labels[axis] for axis in ("attack", "eps", "threat"))
            for cell in (*self.cells, *self.fixed_draw)
        }

    @cached_property
    def worst_case(self) -> WorstCase:
        """What the attacks leave of the pipeline; the clean images count as an attack."""
        return worst_case(
            [self.cells[0].clean_right, *(cell.right for cell in self.cells)],
            randomized=any(cell.is_randomized for cell in self.cells),
        )

    @property
    def strongest_graybox(self) -> EvaluatedCell | None:
        """The strongest gray-box attack at exactly this epsilon, whose accuracy papers print."""
        return _strongest(
            cell
            for cell in self.cells
            if cell.record.properties.threat == "graybox" and cell.eps == self.budget.eps
        )

    @property
    def strongest_fixed_draw(self) -> EvaluatedCell | None:
        """The strongest attack by an attacker who knows the draw."""
        return _strongest(self.fixed_draw)

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

    def reasons(self, verdicts: Mapping[str, Verdict]) -> tuple[str, ...]:
        """The reasons of the verdicts that are not ok, with their level, the worst first.

        An adaptive attack whose verdict is ok is at least as strong as every other within its
        budget, which is one of its checks, so that a doubt about those is none about the worst
        case.
        """
        judged = [(cell, verdicts[cell.record.key]) for cell in self.cells]
        stands_for = max(
            (cell.eps for cell, verdict in judged if cell.record.cascade and verdict.level == "ok"),
            default=-math.inf,
        )
        found = [verdict for cell, verdict in judged if cell.eps > stands_for]
        found.sort(key=lambda verdict: LEVELS.index(verdict.level), reverse=True)

        return tuple(
            f"{verdict.level}: {verdict.reasons[0] if verdict.reasons else ''}"
            for verdict in found
            if verdict.level != "ok"
        )

    def basis(self, verdicts: Mapping[str, Verdict]) -> Basis:
        """What the worst case rests on, and what it lacks."""
        return basis_of(self.cells, verdicts, undefended=self.defense == "none")


def mean_accuracy(cell: EvaluatedCell) -> float:
    """The robust accuracy of a cell, the mean over draws."""
    return float(cell.right.mean())


def common_submissions(defenses: Iterable[DefenseUnderBudget]) -> int:
    """The number of submissions that the draws of every randomized pipeline allow; 1 for none."""
    worst_cases = (defense.worst_case for defense in defenses)

    return min((worst.submissions for worst in worst_cases if worst.randomized), default=1)


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
        counted = [cell for cell in norm_cells if not cell.record.properties.fixed_draw]
        fixed_draw = [cell for cell in norm_cells if cell.record.properties.fixed_draw]
        for eps in sorted({cell.eps for cell in counted}):
            seed = pipeline.seed or 0
            yield DefenseUnderBudget(
                ThreatBudget(pipeline.dataset, pipeline.classifier, norm, eps, seed),
                pipeline.defense,
                tuple(cell for cell in counted if cell.eps <= eps),
                tuple(cell for cell in fixed_draw if cell.eps <= eps),
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


def _strongest(cells: Iterable[EvaluatedCell]) -> EvaluatedCell | None:
    """The cell of the lowest accuracy; None for no cell."""
    return min(cells, key=mean_accuracy, default=None)
