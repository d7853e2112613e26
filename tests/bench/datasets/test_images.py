"""Pictures in folders: layouts, sizes, colors, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.errors import RequestError
from bench.stages.datasets import LoadedDataset, load_dataset
from tests.plugins.kinds import assert_clean

RNG = np.random.default_rng(0)


def picture(path: Path, size: tuple[int, int] = (6, 4), mode: str = "RGB") -> np.ndarray:
    """A random picture of HEIGHT x WIDTH in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size if mode == "L" else (*size, 3)
    pixels = RNG.integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels, mode).save(path)
    return pixels


def folder(root: Path, *parts: str, count: int = 5, mode: str = "RGB") -> Path:
    """Pictures of two classes in each part."""
    for part in parts:
        for name in ("cat", "dog"):
            for index in range(count):
                picture(root / part / name / f"{index}.png", mode=mode)
    return root


def load(root: Path, parameters: str = "") -> LoadedDataset:
    return load_dataset(f"images:path={root}{parameters}", root.parent / "data")


def test_the_layout_of_torchvision(tmp_path: Path) -> None:
    root = folder(tmp_path / "own", "train", "test")
    pixels = picture(root / "test" / "dog" / "9.png")
    dataset = load(root)
    assert dataset.train is not None
    assert (len(dataset.train), len(dataset.test)) == (10, 11)
    assert dataset.class_names == ("cat", "dog")
    assert (dataset.info.shape, dataset.info.classes) == ((3, 6, 4), 2)
    expected = pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    found = [np.array_equal(image.numpy(), expected) for image in dataset.test.images]
    assert dataset.test.labels[found.index(True)] == 1


def test_one_folder_is_split_by_class_and_shares_no_picture(tmp_path: Path) -> None:
    dataset = load(folder(tmp_path / "own", ".", count=10), ":test_share=0.3")
    assert dataset.train is not None
    assert dataset.train.labels.bincount().tolist() == [7, 7]
    assert dataset.test.labels.bincount().tolist() == [3, 3]
    train = {image.numpy().tobytes() for image in dataset.train.images}
    assert not train & {image.numpy().tobytes() for image in dataset.test.images}


def test_a_folder_without_training_pictures_only_evaluates(tmp_path: Path) -> None:
    dataset = load(folder(tmp_path / "own", "test"))
    assert dataset.train is None
    assert len(dataset.test) == 10


@pytest.mark.parametrize(
    ("mode", "parameters", "shape"),
    [
        ("L", "", (1, 6, 4)), ("RGB", "", (3, 6, 4)), ("RGB", ":colors=gray", (1, 6, 4)),
        ("L", ":colors=rgb", (3, 6, 4)), ("L", ":size=8", (1, 8, 8)),
        ("RGB", ":size=5x7", (3, 5, 7)),
    ],
)  # fmt: skip
def test_colors_and_size(
    tmp_path: Path, mode: str, parameters: str, shape: tuple[int, int, int]
) -> None:
    dataset = load(folder(tmp_path / "own", "train", "test", mode=mode), parameters)
    assert dataset.info.shape == shape


def test_pictures_are_decoded_once_until_a_file_changes(tmp_path: Path) -> None:
    root = folder(tmp_path / "own", "test")
    prepared = root.parent / "data" / "prepared"
    first = load(root)
    load(root, ":test_share=0.5")
    assert len(list(prepared.iterdir())) == 1
    changed = root / "test" / "cat" / "0.png"
    picture(changed)
    os.utime(changed, ns=(1, 1))
    again = load(root, ":test_share=0.6")
    assert len(list(prepared.iterdir())) == 2
    assert first.test.digest != again.test.digest


def _empty(root: Path) -> None:
    for path in (root / "test" / "cat").iterdir():
        path.unlink()


def _no_classes(root: Path) -> None:
    for name in ("cat", "dog"):
        (root / "test" / name).rename(root / f"{name}2")


def _no_picture(root: Path) -> None:
    (root / "test" / "dog" / "1.png").write_text("no picture")


def _cut(root: Path) -> None:
    path = root / "test" / "dog" / "1.png"
    path.write_bytes(path.read_bytes()[:60])


def _other_size(root: Path) -> None:
    picture(root / "test" / "dog" / "1.png", size=(7, 4))


def _colors(root: Path) -> None:
    picture(root / "test" / "cat" / "0.png", mode="L")


def _another_class(root: Path) -> None:
    picture(root / "test" / "cow" / "0.png")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_empty, r"the class folder .*test/cat has no pictures"),
        (_no_classes, r"the folder .*test has no folder for a class"),
        (_no_picture, r"test/dog/1\.png is not a picture that can be read"),
        (_cut, r"test/dog/1\.png"),
        (_other_size, r"cat/0\.png is 6x4 and .*dog/1\.png is 7x4: give a size, such as size=6x4"),
        (_colors, r"cat/0\.png is gray and .*cat/1\.png has colors"),
        (_another_class, r"class 'cow' is in .*test alone"),
    ],
)
def test_another_folder_is_refused_with_the_reason(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    root = folder(tmp_path / "own", "train", "test")
    damage(root)
    with pytest.raises(RequestError, match=reason) as refused:
        load(root)
    assert_clean(str(refused.value))
    assert not list((tmp_path / "data" / "prepared").glob(".partial*"))


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (":size=0", "parameter size=0: write one number, or HEIGHTxWIDTH such as 48x64"),
        (":size=3x", "parameter size=3x"),
        (":colors=blue", "colors"),
        (":test_share=2", "test_share"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path: Path, parameters: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        load(tmp_path, parameters)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"the folder .*no does not exist"):
        load(tmp_path / "no")
