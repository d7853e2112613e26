"""A run's ok cells with their raw outcomes, and what follows from one of them image by image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.runs import Result, RunFolder

Array = NDArray[Any]
Group = tuple[str, str, str, int]
"""Dataset, classifier, defense and seed: the cells that attack one trained pipeline."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A cell that is ok.

    Attributes:
        result: its record.
        outcome: its raw arrays, see `bench.evaluate.Evaluator.outcome`.
    """

    result: Result
    outcome: Mapping[str, Array]

    @property
    def eps(self) -> float:
        """The attack's budget."""
        return float(self.result.labels["eps"])

    @property
    def labels(self) -> Array:
        """The true classes, (n,)."""
        return self.outcome["labels"]

    @property
    def right(self) -> Array:
        """Whether the defended pipeline is right on the adversarial image, (draws, n)."""
        found: Array = self.outcome["adversarial_defended"] == self.labels
        return found

    @property
    def robust(self) -> Array:
        """Whether it is right in every draw, (n,)."""
        return np.asarray(self.right.all(axis=0))

    @property
    def clean(self) -> Array:
        """Whether the defended pipeline is right on the clean image in every draw, (n,)."""
        return np.asarray((self.outcome["clean_defended"] == self.labels).all(axis=0))

    @property
    def attacked_right(self) -> Array | None:
        """Whether the very model that was attacked is right, (draws, n); None where nobody has asked it."""
        if self.result.facts.sees_defense:
            return self.right
        if self.result.facts.threat == "graybox":
            undefended: Array = np.atleast_2d(self.outcome["adversarial_undefended"] == self.labels)
            return undefended
        return None

    @property
    def group(self) -> Group:
        """The trained pipeline."""
        labels = self.result.labels
        return str(labels["dataset"]), str(labels["classifier"]), str(labels["defense"]), int(labels["seed"])


def measured(folder: RunFolder) -> list[Measured]:
    """All ok cells of a run, in its order.

    Raises:
        RequestError: a raw file is damaged.
    """
    return [Measured(result, folder.outcome(result)) for result in folder.results() if result.status == "ok"]


def by_pipeline(cells: Iterable[Measured]) -> dict[Group, list[Measured]]:
    """The cells of each trained pipeline."""
    groups: dict[Group, list[Measured]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    return groups
