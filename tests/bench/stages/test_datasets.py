"""The data sets."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.errors import RequestError
from bench.stages.datasets import Split, dataset_names, load_dataset


def test_the_digits_are_images_in_range_with_balanced_classes(tmp_path: Path) -> None:
    digits = load_dataset("digits", tmp_path)
    assert digits.info.shape == (1, 28, 28)
    assert digits.info.classes == 10
    assert (len(digits.train), len(digits.test)) == (1297, 500)
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
    assert dataset_names() == ["digits", "fashion_mnist", "mnist"]
    with pytest.raises(RequestError, match="did you mean 'mnist'"):
        load_dataset("mnits", Path())


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_absent_data_without_network_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from torchvision.datasets import mnist

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(mnist, "download_and_extract_archive", refuse)
    with pytest.raises(
        RequestError,
        match=r"dataset .* cannot be downloaded \(.*\): put its four .gz archives there",
    ):
        load_dataset(name, tmp_path)


def _idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(
        size.to_bytes(4, "big") for size in array.shape
    )
    path.write_bytes(header + array.tobytes())
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(header + array.tobytes()))


def test_files_of_the_mnist_format_are_read(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", 20), ("t10k", 12)):
        _idx(raw / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28)).astype(np.uint8))
        _idx(raw / f"{part}-labels-idx1-ubyte", (np.arange(n) % 10).astype(np.uint8))
    data = load_dataset("mnist", tmp_path)
    assert (len(data.train), len(data.test), data.info.classes) == (20, 12, 10)
    assert float(data.train.images.max()) <= 1
    assert sorted(data.test.labels.tolist()) == sorted(i % 10 for i in range(12))


def test_every_listed_data_set_can_be_loaded() -> None:
    from bench.stages import datasets

    assert set(datasets._LOADERS) == set(dataset_names())
