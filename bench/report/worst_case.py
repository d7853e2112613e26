"""What is left of each defense when every attack of the run may try: image by image, within one ball."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.checks import Verdict
from bench.analysis.metrics import share
from bench.analysis.outcomes import EvaluatedCell, by_pipeline
from bench.records.cell import CellRecord
from bench.report.accuracy import interval_columns, norm_name

Array = NDArray[Any]

COLUMNS = (
    *("dataset", "classifier", "norm", "eps", "seed", "defense", "n", "rank"),
    *(
        f"{name}{end}"
        for name in ("clean", "graybox", "worst_case")
        for end in ("", "_low", "_high")
    ),
    *("graybox_attack", "strongest", "strongest_accuracy", "cells", "not_ok", "unfaced", "note"),
)
UNSEEN = "no valid attack saw the defense"
"""The note of a worst case that says nothing of an attacker who knows of the defense."""

DECISIONS_ONLY = "only decision-based attacks saw the defense"


@dataclass(frozen=True)
class ThreatBudget:
    """What an attacker may do to which classifier: defenses are compared within one.

    Attributes:
        dataset: name.
        classifier: spec.
        norm: that `eps` bounds.
        eps: the budget.
        seed: of training and attacks.
    """

    dataset: str
    classifier: str
    norm: str
    eps: float
    seed: int


@dataclass(frozen=True, eq=False)
class DefenseUnderBudget:
    """A defense in a ball.

    Attributes:
        ball: the attacker's limits.
        defense: spec.
        cells: all that are ok and lie within the ball: the same norm, at most its budget. A smaller
            perturbation lies in the larger ball too.
        failed: how many more there would be, had they not failed.
        unfaced: attacks that other defenses faced in this ball and this one did not.
    """

    ball: ThreatBudget
    defense: str
    cells: tuple[EvaluatedCell, ...]
    failed: int
    unfaced: int = 0

    @property
    def attacks(self) -> set[tuple[Any, ...]]:
        """What was tried: attack, budget and threat model of each cell."""
        return {
            tuple(cell.record.labels[axis] for axis in ("attack", "eps", "threat"))
            for cell in self.cells
        }

    @property
    def robust(self) -> Array:
        """Whether no attack broke the image, (n,): right on the clean one, and in every draw under every attack."""
        return np.asarray(
            np.logical_and.reduce(
                [cell.right_in_every_draw & cell.clean_right_in_every_draw for cell in self.cells]
            )
        )

    @property
    def graybox(self) -> EvaluatedCell | None:
        """The strongest gray-box attack at this very budget, whose accuracy papers print."""
        found = [
            c
            for c in self.cells
            if c.record.properties.threat == "graybox" and c.eps == self.ball.eps
        ]
        return min(found, key=_accuracy) if found else None

    @property
    def strongest(self) -> EvaluatedCell:
        """The single cell of lowest accuracy; among equals the largest budget."""
        return min(self.cells, key=lambda cell: (_accuracy(cell), -cell.eps))

    def not_ok(self, verdicts: Mapping[str, Verdict]) -> str:
        """How many cells are void or doubtful, such as `2 invalid, 1 suspect`."""
        levels = Counter(verdicts[cell.record.key].level for cell in self.cells)
        counts = {"invalid": levels["invalid"], "suspect": levels["suspect"], "failed": self.failed}
        counts["not faced"] = max(0, self.unfaced - self.failed)
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count)

    def note(self, verdicts: Mapping[str, Verdict]) -> str:
        """Whether the worst case is one at all: did a valid attack see the defense, and through its
        gradient?

        Of no defense (`none`) the gray-box attacker sees everything.
        """
        valid = [c for c in self.cells if verdicts[c.record.key].level != "invalid" and c.eps > 0]
        bare = self.defense == "none"
        saw = [
            c
            for c in valid
            if c.record.properties.sees_defense
            or (bare and c.record.properties.threat == "graybox")
        ]
        if not saw:
            return UNSEEN
        followed = any(
            c.record.properties.gradient and c.record.properties.access == "gradient" for c in saw
        )
        return "" if followed else DECISIONS_ONLY


def standings(
    results: Iterable[CellRecord], cells: Sequence[EvaluatedCell]
) -> list[DefenseUnderBudget]:
    """Every defense in every ball in which it was attacked, ball by ball, in the run's order."""
    failed = Counter(
        (result.pipeline, norm_name(result), result.eps)
        for result in results
        if result.status == "failed"
    )
    found = []
    for pipeline, group in by_pipeline(cells).items():
        for norm in dict.fromkeys(norm_name(cell.record) for cell in group):
            alike = [cell for cell in group if norm_name(cell.record) == norm]
            for eps in sorted({cell.eps for cell in alike}):
                within = tuple(cell for cell in alike if cell.eps <= eps)
                missing = sum(
                    count
                    for (of, named, at), count in failed.items()
                    if (of, named) == (pipeline, norm) and at <= eps
                )
                budget = ThreatBudget(
                    pipeline.dataset, pipeline.classifier, norm, eps, pipeline.seed or 0
                )
                found.append(DefenseUnderBudget(budget, pipeline.defense, within, missing))
    faced: dict[ThreatBudget, set[tuple[Any, ...]]] = {}
    for each in found:
        faced.setdefault(each.ball, set()).update(each.attacks)
    return _by_ball([replace(each, unfaced=len(faced[each.ball] - each.attacks)) for each in found])


def worst_case_frame(
    found: Sequence[DefenseUnderBudget],
    verdicts: Mapping[str, Verdict],
    ranks: Mapping[tuple[ThreatBudget, str], str],
) -> pd.DataFrame:
    """One row per standing, the worst case beside the gray-box figure.

    Args:
        found: the standings.
        verdicts: of the cells, by key.
        ranks: of a ball's defenses.
    """
    return pd.DataFrame([_row(each, verdicts, ranks) for each in found], columns=list(COLUMNS))


def _row(
    standing: DefenseUnderBudget,
    verdicts: Mapping[str, Verdict],
    ranks: Mapping[tuple[ThreatBudget, str], str],
) -> dict[str, Any]:
    graybox, strongest = standing.graybox, standing.strongest
    clean = strongest.outcome.clean_defended == strongest.labels
    return {
        **vars(standing.ball),
        "defense": standing.defense,
        "n": len(strongest.labels),
        "rank": ranks[standing.ball, standing.defense],
        **interval_columns("clean", share(clean)),
        **interval_columns("graybox", share(graybox.right) if graybox else None),
        **interval_columns("worst_case", share(standing.robust)),
        "graybox_attack": str(graybox.record.labels["attack"]) if graybox else "",
        "strongest": "{attack} eps {eps:g}, {threat}".format(**strongest.record.labels),
        "strongest_accuracy": _accuracy(strongest),
        "cells": len(standing.cells),
        "not_ok": standing.not_ok(verdicts),
        "unfaced": standing.unfaced,
        "note": standing.note(verdicts),
    }


def _accuracy(cell: EvaluatedCell) -> float:
    return float(cell.right.mean())


def _pipeline(result: CellRecord) -> tuple[str, str, str, int]:
    labels = result.labels
    return (
        str(labels["dataset"]),
        str(labels["classifier"]),
        str(labels["defense"]),
        int(labels["seed"]),
    )


def _by_ball(found: list[DefenseUnderBudget]) -> list[DefenseUnderBudget]:
    """Sorted by ball: names in the order in which they come, budgets by size."""
    order: dict[object, int] = {}
    for each in found:
        for name in (each.ball.dataset, each.ball.classifier, each.ball.norm):
            order.setdefault(name, len(order))

    def place(each: DefenseUnderBudget) -> tuple[int, int, int, float, int]:
        ball = each.ball
        return order[ball.dataset], order[ball.classifier], order[ball.norm], ball.eps, ball.seed

    return sorted(found, key=place)
