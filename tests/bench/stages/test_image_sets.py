"""Checks of what a data set gives."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from bench.contracts import ImageSets, LabelledImages
from bench.stages.image_sets import checked_splits

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 9, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def sets(**changed: Any) -> ImageSets:
    given = {"images": IMAGES, "labels": LABELS, "train_images": IMAGES, "train_labels": LABELS}
    given |= {name: value for name, value in changed.items() if name in given}
    train = LabelledImages(given["train_images"], given["train_labels"])
    return ImageSets(
        LabelledImages(given["images"], given["labels"]),
        None if changed.get("without") else train,
        changed.get("class_names", ()),
    )


def test_a_memory_map_stays_one(tmp_path: Any) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    train, test, _ = checked_splits(sets(train_images=np.load(tmp_path / "a.npy", mmap_mode="c")))
    assert train is not None
    assert (train.pixels.mapped, test.pixels.mapped) == (True, False)
    assert torch.equal(train.images, test.images)
    assert train.pixels.on(torch.device("meta")) is train.pixels


def test_labels_in_a_column_are_taken() -> None:
    _, test, _ = checked_splits(sets(labels=LABELS[:, None].astype(np.uint8)))
    assert test.labels.tolist() == LABELS.tolist()


def test_nothing_to_train_on_is_allowed() -> None:
    train, test, names = checked_splits(sets(without=True, class_names=["a", "b", "c\n"]))
    assert train is None
    assert len(test) == 6
    assert names[:2] == ("a", "b")
    assert "\n" not in names[2]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"images": IMAGES.tolist()}, "the test images are list, not a NumPy array"),
        ({"images": IMAGES.astype(np.float32)}, "numbers from 0 to 255, not in [0, 1]"),
        ({"images": IMAGES / 255 - 0.1}, "the test images have numbers from -0.1 to 0.9"),
        ({"images": np.where(IMAGES > 9, IMAGES / 255, np.nan)}, "numbers from nan to nan"),
        ({"images": IMAGES[..., :2]}, "the test images have shape (6, 8, 9, 2)"),
        ({"labels": LABELS - 1}, "the test labels have a negative class"),
        ({"labels": 0 * LABELS, "train_labels": 0 * LABELS}, "all labels are class 0"),
        ({"labels": LABELS / 2}, "the test labels have type float64"),
        ({"labels": np.eye(6)}, "the test labels have type float64 and shape (6, 6)"),
        ({"labels": LABELS + 1}, "the test labels have class 3, which the training labels lack"),
        ({"labels": LABELS[:5]}, "there are 6 test images and 5 test labels"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "there are 0 test images and 0 test labels"),
        ({"images": IMAGES[:, :4]}, "have shapes (3, 8, 9) and (3, 4, 9)"),
        ({"class_names": ["a", "b"]}, "there are 3 classes and 2 names of classes"),
    ],
)  # fmt: skip
def test_other_forms_are_refused_with_the_reason(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        checked_splits(sets(**changed))


def test_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match=r"load\(\) must return ImageSets, not tuple"):
        checked_splits((IMAGES, LABELS))
