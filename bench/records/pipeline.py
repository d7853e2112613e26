"""The trained pipeline that a number belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from pydantic import ConfigDict

from bench.store.strict import STRICT, Count, SpecText


@dataclass(frozen=True, order=True)
class Pipeline:
    """A purifier in front of a classifier, as tables name it.

    Attributes:
        dataset: name of the data set both were trained on.
        classifier: spec of the classifier.
        defense: spec of the purifier.
        seed: seed of the training; None where the number does not depend on it, as a latency.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    dataset: SpecText
    classifier: SpecText
    defense: SpecText
    seed: Count | None = None

    @classmethod
    def of(cls, labels: Mapping[Any, Any]) -> Self:
        """The pipeline that the labels of a cell, a timing or a table's row name."""
        seed = labels.get("seed")

        return cls(
            dataset=str(labels["dataset"]),
            classifier=str(labels["classifier"]),
            defense=str(labels["defense"]),
            seed=None if seed is None else int(seed),
        )

    @property
    def without_seed(self) -> Self:
        """The same pipeline, for any seed of its training."""
        return replace(self, seed=None)

    def labels(self) -> dict[str, Any]:
        """Data set, classifier and defense by name, and the seed where there is one."""
        seed = {} if self.seed is None else {"seed": self.seed}

        return {
            "dataset": self.dataset,
            "classifier": self.classifier,
            "defense": self.defense,
            **seed,
        }
