"""Data sets of torchvision and of the Hugging Face hub, on small archives in their formats."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import CIFAR10, EMNIST, KMNIST, SVHN, utils

from bench.errors import RequestError
from bench.stages.datasets import LoadedDataset, load_dataset
from tests.plugins.kinds import assert_clean

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network\nhere")

    monkeypatch.setattr(utils, "_urlretrieve", refuse)


def checked(dataset: LoadedDataset, train: int, test: int, shape: tuple[int, int, int]) -> None:
    assert dataset.train is not None
    assert (len(dataset.train), len(dataset.test)) == (train, test)
    assert dataset.info.shape == shape


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / CIFAR10.base_folder
    base.mkdir()
    pixels = RNG.integers(0, 256, (10, 3072), np.uint8)
    content = {"data": pixels, "labels": list(range(10))}
    lists = {}
    for kind, names in (("train_list", CIFAR10.train_list[:1]), ("test_list", CIFAR10.test_list)):
        lists[kind] = []
        for name, _ in names:
            (base / name).write_bytes(pickle.dumps(content))
            lists[kind].append([name, md5(base / name)])
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": [*"abcdefghij"]}))
    meta = {**CIFAR10.meta, "md5": md5(base / "batches.meta")}
    for name, value in {**lists, "meta": meta}.items():
        monkeypatch.setattr(CIFAR10, name, value)

    dataset = load_dataset("cifar10", tmp_path)
    checked(dataset, 10, 10, (3, 32, 32))
    assert dataset.class_names == tuple("abcdefghij")
    third = pixels[2].reshape(3, 32, 32).astype(np.float32) / np.float32(255)
    assert np.array_equal(dataset.train.images[2].numpy(), third)  # type: ignore[union-attr]


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "SVHN").mkdir()
    pixels = RNG.integers(0, 256, (32, 32, 3, 10), np.uint8)
    labels = np.arange(1, 11)[:, None]  # the files have 10 for the digit 0
    splits = {}
    for split in ("train", "test"):
        path = tmp_path / "SVHN" / f"{split}_32x32.mat"
        savemat(path, {"X": pixels, "y": labels})
        splits[split] = [SVHN.split_list[split][0], path.name, md5(path)]
    monkeypatch.setattr(SVHN, "split_list", splits)

    dataset = load_dataset("svhn", tmp_path)
    checked(dataset, 10, 10, (3, 32, 32))
    assert dataset.train.labels.tolist() == [*range(1, 10), 0]  # type: ignore[union-attr]


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def test_kmnist(tmp_path: Path) -> None:
    raw = tmp_path / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for name, array in (
            ("images-idx3", RNG.integers(0, 256, (10, 28, 28))),
            ("labels-idx1", np.arange(10)),
        ):
            (raw / f"{part}-{name}-ubyte").write_bytes(idx(array))
            (raw / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(idx(array)))

    dataset = load_dataset("kmnist", tmp_path)
    checked(dataset, 10, 10, (1, 28, 28))
    assert dataset.class_names == tuple(KMNIST.classes)


@pytest.mark.parametrize(("split", "classes", "first"), [("letters", 26, 1), ("digits", 10, 0)])
def test_emnist_is_upright(tmp_path: Path, split: str, classes: int, first: int) -> None:
    raw = tmp_path / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = RNG.integers(0, 256, (classes, 28, 28), np.uint8)
    for name in EMNIST.splits:
        for part in ("train", "test"):
            labels = np.arange(classes) + first
            (raw / f"emnist-{name}-{part}-images-idx3-ubyte").write_bytes(idx(pixels))
            (raw / f"emnist-{name}-{part}-labels-idx1-ubyte").write_bytes(idx(labels))

    dataset = load_dataset(f"emnist:split={split}", tmp_path)
    checked(dataset, classes, classes, (1, 28, 28))
    assert (dataset.info.classes, len(dataset.class_names)) == (classes, classes)
    upright = pixels[3].T.astype(np.float32) / np.float32(255)
    assert np.array_equal(dataset.train.images[3, 0].numpy(), upright)  # type: ignore[union-attr]


def test_gtsrb_is_scaled_to_one_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Signs:
        def __init__(self, root: str, *, split: str, download: bool) -> None:
            assert (root, download) == (str(tmp_path), True)
            self.pictures = [
                Image.new("RGB", (15 + index, 20), (index, 0, 0)) for index in range(6)
            ]
            self._samples = [("x", index % 3) for index in range(6)]

        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> tuple[Image.Image, int]:
            return self.pictures[index], self._samples[index][1]

    monkeypatch.setattr(torchvision.datasets, "GTSRB", Signs)
    dataset = load_dataset("gtsrb:size=24", tmp_path)
    checked(dataset, 6, 6, (3, 24, 24))
    assert dataset.train.labels.tolist() == [0, 1, 2, 0, 1, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["cifar10", "svhn", "kmnist", "emnist", "gtsrb"])
def test_absent_data_without_network_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match=f"dataset '{name}': .* cannot be downloaded") as caught:
        load_dataset(name, tmp_path)
    assert_clean(str(caught.value))


class Rows:
    """Rows of a split, as the package `datasets` gives them."""

    column_names = ("image", "label")
    features: ClassVar[Any] = {"label": types.SimpleNamespace(names=["no", "yes"])}
    _fingerprint = "f"

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int | str) -> Any:
        if index == "label":
            return [place % 2 for place in range(8)]
        return {"image": Image.new("L", (5, 6), 20 * int(index)), "label": int(index) % 2}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, config: str | None, cache_dir: str) -> dict[str, Rows]:
        if name != "me/mine":
            raise RuntimeError("no such\nrepository")
        return {"train": Rows(), "test": Rows()}

    module = types.ModuleType("datasets")
    module.load_dataset = load  # type: ignore[attr-defined]
    module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "datasets", module)


@pytest.mark.usefixtures("hub")
def test_the_hub(tmp_path: Path) -> None:
    dataset = load_dataset("hf:name=me/mine", tmp_path)
    checked(dataset, 8, 8, (1, 6, 5))
    assert dataset.class_names == ("no", "yes")
    assert load_dataset("hf:name=me/mine:train=[none]", tmp_path).train is None


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("name=me/other", r"cannot be loaded from the hub \(no such repository\)"),
        ("name=me/mine:test=dev", r"there is no split 'dev' \(choose from: test, train\)"),
        ("name=me/mine:image=img", r"there is no column 'img' \(choose from: image, label\)"),
    ],
)
def test_what_the_hub_lacks_is_one_line(tmp_path: Path, parameters: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as caught:
        load_dataset(f"hf:{parameters}", tmp_path)
    assert_clean(str(caught.value))


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(RequestError, match=r"pip install 'purification-bench\[hf\]'"):
        load_dataset("hf:name=a/b", tmp_path)
