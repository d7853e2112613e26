"""The checks of data sets: each sees the fault that it is for, one line a cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from bench.conformance import conformance
from bench.contracts import Dataset, ImageSets, LabelledImages, LoadContext
from bench.registry import register_dataset

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8), np.uint8)


@register_dataset("test-checked")
@dataclass(frozen=True)
class Checked(Dataset):
    """A data set with a fault of choice."""

    fault: Literal["none", "range", "gap", "random"] = "none"

    def load(self, context: LoadContext) -> ImageSets:
        images = np.random.default_rng().integers(0, 256, IMAGES.shape, np.uint8)
        given = images if self.fault == "random" else IMAGES
        given = given.astype(np.float32) if self.fault == "range" else given
        labels = np.array([0, 2, 0, 2, 0, 2]) // (1 if self.fault == "gap" else 2)
        return ImageSets(LabelledImages(given, labels), LabelledImages(given, labels))


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        ("none", []),
        ("range", ["numbers from 0 to 255"]),
        ("gap", ["class 1 of 3 has no training image"]),
        ("random", ["other images in the second call"]),
    ],
)
def test_one_line_for_each_fault(fault: str, reasons: list[str]) -> None:
    found = [
        finding.reason
        for finding in conformance("dataset", f"test-checked:fault={fault}")
        if finding.reason
    ]
    assert len(found) == len(reasons)
    assert all(expected in line for expected, line in zip(reasons, found, strict=True))
