"""Evaluated cells: the ok cells of a run with their raw outcomes, and correctness by image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.records.cell import CellRecord
from bench.records.cell_images import CellImages
from bench.records.folder import RunFolder
from bench.records.outcome import REJECTED, Outcome
from bench.records.pipeline import Pipeline

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class EvaluatedCell:
    """A cell that is ok, with its raw outcome.

    Attributes:
        record: the cell's labels, properties and status.
        outcome: raw predictions and distances, image by image.
        load_images: function that reads the first images of the cell, which only pictures need.
        class_names: names of the classes; empty for numbers.
    """

    record: CellRecord
    outcome: Outcome
    load_images: Callable[[], CellImages | None] = lambda: None
    class_names: tuple[str, ...] = ()

    @cached_property
    def images(self) -> CellImages | None:
        """First images of the cell; None where the run was kept without images."""
        return self.load_images()

    def class_name(self, label: int) -> str:
        """The name of a class, or its number where it has none; `rejected` for `REJECTED`."""
        if label == REJECTED:
            return "rejected"
        return self.class_names[label] if label < len(self.class_names) else str(label)

    @property
    def eps(self) -> float:
        """Budget of the attack, on the [0, 1] scale."""
        return self.record.eps

    @property
    def labels(self) -> Array:
        """True classes, (n,)."""
        return self.outcome.labels

    @cached_property
    def right(self) -> Array:
        """Whether the attack on the defended pipeline fails, (draws, n), see `Outcome.right`."""
        return self.outcome.right

    @property
    def clean_right(self) -> Array:
        """Whether the defended pipeline classifies the clean image correctly, (draws, n)."""
        return self.outcome.clean_right

    @property
    def is_randomized(self) -> bool:
        """Whether a further draw of the pipeline may differ from those of the outcome."""
        return self.record.properties.stochastic or len(self.right) > 1

    @cached_property
    def attacked_model_right(self) -> Array | None:
        """Whether the attacked model classifies the adversarial image correctly, (draws, n).

        None where its predictions were not recorded, as those of a substitute.
        """
        if self.record.properties.sees_defense:
            return self.right
        if self.record.properties.threat == "graybox":
            return np.atleast_2d(self.outcome.adversarial_undefended == self.labels)
        return None

    @property
    def pipeline(self) -> Pipeline:
        """The trained pipeline that was attacked."""
        return self.record.pipeline


def evaluated_cells(folder: RunFolder) -> list[EvaluatedCell]:
    """All ok cells of a run, in the order of its records.

    Raises:
        RequestError: a raw file is damaged.
    """
    records = [record for record in folder.records() if record.status == "ok"]
    class_names = folder.config().get("class_names", {})

    return [
        EvaluatedCell(
            record,
            folder.outcome(record),
            partial(folder.images, record),
            tuple(class_names.get(record.labels["dataset"], ())),
        )
        for record in records
    ]


def by_pipeline(cells: Iterable[EvaluatedCell]) -> dict[Pipeline, list[EvaluatedCell]]:
    """The cells of each trained pipeline."""
    groups: dict[Pipeline, list[EvaluatedCell]] = {}
    for cell in cells:
        groups.setdefault(cell.pipeline, []).append(cell)

    return groups
