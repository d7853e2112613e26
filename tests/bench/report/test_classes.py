"""The table of classes and the names of classes in pictures, of cells made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.records.outcome import REJECTED
from bench.report.classes.frame import classes_frame
from bench.report.pictures.strips import adversarial, original, purified
from bench.report.worst_case.budgets import defenses_under_budgets

NAMES = ("cat", "dog", "a bird of a very long name")


def cell(made: Any, predictions: list[int], names: tuple[str, ...] = NAMES) -> Any:
    """A cell of six images, two of each class, that a strong attack left with these predictions."""
    found = made.cell(np.ones(6, bool))
    labels = np.array([0, 0, 1, 1, 2, 2])
    outcome = replace(
        found.outcome,
        labels=labels,
        clean_undefended=labels,
        clean_defended=labels[None],
        adversarial_undefended=np.array(predictions).clip(min=0),
        adversarial_defended=np.array([predictions]),
    )
    images = made.images()
    made_cell = replace(found, outcome=outcome, class_names=names)
    pixels = np.zeros((6, 1, 8, 8), np.uint8)
    made_cell.__dict__["images"] = type(images)(pixels, pixels, pixels)
    return made_cell


def test_each_class_has_its_accuracy_and_what_it_is_taken_for(made: Any) -> None:
    attacked = cell(made, [0, 1, 2, 2, 2, REJECTED])
    frame = classes_frame(defenses_under_budgets([attacked.record], [attacked]))
    assert frame["class"].tolist() == list(NAMES)
    assert frame["n"].tolist() == [2, 2, 2]
    assert frame["clean_accuracy"].tolist() == [1, 1, 1]
    assert frame["worst_case_accuracy"].tolist() == [0.5, 0, 1]
    assert frame["taken_for"].tolist() == ["dog", NAMES[2], ""]


def test_the_accuracies_of_classes_add_up_to_that_of_the_cell(made: Any) -> None:
    attacked = cell(made, [0, 1, 2, 1, 0, 2])
    frame = classes_frame(defenses_under_budgets([attacked.record], [attacked]))
    total = (frame["worst_case_accuracy"] * frame["n"]).sum() / frame["n"].sum()
    assert total == pytest.approx(attacked.right.mean())


def test_images_bear_the_names_of_their_classes(made: Any) -> None:
    attacked = cell(made, [0, 1, REJECTED, 1, 1, 2])
    assert original(attacked).captions[:3] == ("cat", "cat", "dog")
    assert all(len(caption) <= 14 for caption in original(attacked).captions)
    assert adversarial(attacked, "").captions[:3] == ("cat", "dog", "cat")
    assert purified(attacked, "").captions[:3] == ("cat", "dog", "rejected")


def test_images_of_classes_without_names_bear_their_numbers(made: Any) -> None:
    attacked = cell(made, [0, 1, 2, 2, 2, 2], names=())
    assert original(attacked).captions == ("0", "0", "1", "1", "2", "2")
    frame = classes_frame(defenses_under_budgets([attacked.record], [attacked]))
    assert frame["class"].tolist() == ["0", "1", "2"]
