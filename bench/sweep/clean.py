"""The accuracy of pipelines on clean images, known before anything is attacked."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.metrics import Accuracy
from bench.records.pipeline import Pipeline


@dataclass(frozen=True)
class CleanAccuracy:
    """The accuracy of a pipeline on clean test images.

    Attributes:
        pipeline: data set, classifier, defense and seed.
        undefended: accuracy of the bare classifier.
        defended: accuracy of the pipeline.
        chance: accuracy of guessing among the classes.
    """

    pipeline: Pipeline
    undefended: Accuracy
    defended: Accuracy
    chance: float

    @property
    def guesses(self) -> bool:
        """Whether the bare classifier is no better than guessing."""
        return self.undefended.low <= self.chance
