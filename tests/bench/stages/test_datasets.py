"""The data sets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.errors import RequestError
from bench.stages.datasets import load_dataset
from bench.stages.pixels import Split


def test_the_digits_are_images_in_range_with_balanced_classes(tmp_path: Path) -> None:
    digits = load_dataset("digits", tmp_path)
    assert digits.info.shape == (1, 28, 28)
    assert digits.info.classes == 10
    assert (len(digits.train), len(digits.test)) == (1297, 500)
    assert digits.train is not None
    for split in (digits.train, digits.test):
        assert split.images.dtype == torch.float32
        assert 0 <= float(split.images.min()) <= float(split.images.max()) <= 1
        assert split.labels.dtype == torch.int64
        assert int(split.labels.bincount().min()) > 0.08 * len(split)


def test_train_and_test_share_no_image(tmp_path: Path) -> None:
    digits = load_dataset("digits", tmp_path)
    train = {image.numpy().tobytes() for image in digits.train.images}
    assert not train & {image.numpy().tobytes() for image in digits.test.images}


def test_few_test_images_are_a_prefix_of_many(tmp_path: Path) -> None:
    digits = load_dataset("digits", tmp_path)
    few, many = digits.test_images(10), digits.test_images(20)
    assert torch.equal(few.images, many.images[:10])
    assert few.digest != many.digest
    assert few.digest == digits.test_images(10).digest


def test_more_test_images_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="has 500 test images"):
        load_dataset("digits", tmp_path).test_images(501)


def test_labels_are_part_of_the_digest() -> None:
    images, labels = torch.zeros(2, 1, 2, 2), torch.tensor([0, 1])
    assert Split.of(images, labels).digest != Split.of(images, labels.flip(0)).digest


def test_an_unknown_name_suggests() -> None:
    with pytest.raises(RequestError, match="did you mean 'mnist'"):
        load_dataset("mnits", Path())
