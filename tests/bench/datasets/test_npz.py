"""Data of one's own from an .npz file: the forms that are read, and those that are refused."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench.errors import RequestError
from bench.progress import Silent
from bench.registry import DATASETS
from bench.stages.datasets import load_dataset
from bench.stages.image_sets import checked_splits
from bench.stages.loading import LoadingContext
from tests.plugins.kinds import assert_clean

Images = tuple[torch.Tensor, torch.Tensor]


def read_npz(path: Path, **parameters: str) -> tuple[Images, Images]:
    """Training and test images of a file with their labels, in the order of the file."""
    plugin = DATASETS.get("npz")(str(path), **parameters)  # type: ignore[call-arg]
    context = LoadingContext("x", path.parent / "data", Silent())
    try:
        train, test, _ = checked_splits(plugin.load(context))
    except (ValueError, OSError) as error:
        raise RequestError(str(error)) from None
    assert train is not None
    return (train.images, train.labels), (test.images, test.labels)


RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (6, 8, 9), dtype=np.uint8)
SOUND = {
    "x_train": BYTES,
    "y_train": np.array([0, 1, 2, 0, 1, 2]),
    "x_test": BYTES[:3],
    "y_test": np.array([2, 0, 1], np.int32),
}


def saved(tmp_path: Path, **changed: Any) -> Path:
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "own.npz"
    arrays = {name: array for name, array in {**SOUND, **changed}.items() if array is not None}
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    "form",
    [
        lambda images: images,
        lambda images: images[:, None],
        lambda images: images[..., None],
        lambda images: (images / 255).astype(np.float32),
        lambda images: images[:, None].astype(np.float64) / 255,
    ],
)
def test_bytes_and_fractions_in_any_order_are_read_alike(
    tmp_path: Path, form: Callable[[Any], Any]
) -> None:
    path = saved(tmp_path, x_train=form(BYTES), x_test=form(BYTES[:3]))
    (images, labels), (test_images, test_labels) = read_npz(path)
    assert images.shape == (6, 1, 8, 9)
    np.testing.assert_allclose(images[:, 0].numpy(), BYTES / 255, atol=1e-7)
    np.testing.assert_allclose(test_images.numpy(), images[:3].numpy())
    assert (labels.tolist(), test_labels.tolist()) == ([0, 1, 2, 0, 1, 2], [2, 0, 1])


def test_colors_may_come_last(tmp_path: Path) -> None:
    colors = RNG.integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)
    (images, _), _ = read_npz(saved(tmp_path, x_train=colors, x_test=colors[:3]))
    np.testing.assert_allclose(images.numpy(), colors.transpose(0, 3, 1, 2) / 255, atol=1e-7)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"y_test": None}, "it has no array 'y_test'"),
        ({"x_train": BYTES.astype(np.int64)}, "the training images have type int64"),
        ({"x_train": BYTES / 254}, r"the training images have numbers from .* not in \[0, 1\]"),
        (
            {"x_train": np.full((6, 8, 9), np.nan)},
            r"the training images have numbers from .* not in \[0, 1\]",
        ),
        ({"x_train": BYTES[:, 0]}, r"the training images have shape \(6, 9\)"),
        (
            {"x_train": BYTES[:, None].repeat(2, 1)},
            r"the training images have shape \(6, 2, 8, 9\)",
        ),
        ({"x_train": BYTES[:5]}, "there are 5 training images and 6 training labels"),
        ({"x_test": BYTES[:0], "y_test": np.array([], int)}, "there are 0 test images"),
        ({"x_test": BYTES[:3, :4]}, "the images of training and test have shapes"),
        ({"y_train": np.zeros(6)}, "the training labels have type float64"),
        ({"y_train": np.array([-1, 1, 2, 0, 1, 2])}, "the training labels have a negative class"),
        (
            {"y_train": np.array([2**63, 1, 2, 0, 1, 2], np.uint64)},
            f"the training labels have class {2**63}",
        ),
        (
            {"y_test": np.array([3, 0, 1])},
            "the test labels have class 3, which the training labels lack",
        ),
        ({"x_train": np.array([object()] * 6)}, "an array is damaged .*pickle"),
    ],
)
def test_other_arrays_are_refused_with_the_reason(
    tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    path = saved(tmp_path, **changed)
    with pytest.raises(RequestError, match=reason):
        read_npz(path)


def _text(path: Path) -> None:
    path.write_text("no arrays")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(bytes(content))


def _lie(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in SOUND:
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [_text, _cut, _flip, _lie, _folder, _pipe, Path.unlink])
def test_a_damaged_file_is_one_line(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    path = saved(tmp_path)
    damage(path)
    with pytest.raises(RequestError, match=r"own\.npz") as error:
        read_npz(path)
    assert "\n" not in str(error.value)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(compressed=st.booleans(), position=st.floats(0, 1), bit=st.integers(0, 7))
@example(compressed=False, position=0.01, bit=0)
def test_every_flipped_bit_is_refused_or_harmless(
    tmp_path: Path, compressed: bool, position: float, bit: int
) -> None:
    path = tmp_path / "own.npz"
    (np.savez_compressed if compressed else np.savez)(path, **SOUND)
    expected = read_npz(path)
    content = bytearray(path.read_bytes())
    content[int(position * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(content)

    try:
        found = read_npz(path)
    except RequestError as refused:
        assert_clean(str(refused))
        return
    for ours, theirs in zip(expected, found, strict=True):
        assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))


def _entries(path: Path, offset: int, value: int) -> None:
    """Change a number in the description of each array in the archive."""
    content = bytearray(path.read_bytes())
    for start in range(len(content)):
        for signature, extra in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
            if content.startswith(signature, start):
                content[start + offset + extra] = value
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("offset", "value"), [(6, 1), (8, 99), (8, 1)], ids=["encrypted", "unknown", "shrunk"]
)
def test_an_archive_that_python_cannot_unpack_is_refused(
    tmp_path: Path, offset: int, value: int
) -> None:
    path = saved(tmp_path)
    _entries(path, offset, value)
    with pytest.raises(RequestError, match=r"own\.npz: an array is damaged"):
        read_npz(path)


def test_a_data_set_of_ones_own_is_loaded_by_its_spec(tmp_path: Path) -> None:
    name = f"npz:file={saved(tmp_path)}"
    dataset = load_dataset(name, tmp_path / "no-data")
    assert (dataset.name, dataset.info.shape, dataset.info.classes) == (name, (1, 8, 9), 3)
    assert dataset.train is not None
    assert (len(dataset.train), len(dataset.test)) == (6, 3)


def test_a_file_without_training_images_only_evaluates(tmp_path: Path) -> None:
    path = saved(tmp_path, x_train=None, y_train=None, class_names=np.array(["a", "b", "c", "d"]))
    dataset = load_dataset(f"npz:file={path}", tmp_path)
    assert dataset.train is None
    assert dataset.class_names == ("a", "b", "c", "d")
    assert dataset.info.classes == 4
    half = saved(tmp_path / "half", y_train=None)
    with pytest.raises(RequestError, match="lacks y_train: give both x_train and y_train"):
        load_dataset(f"npz:file={half}", tmp_path)


def test_channels_are_said_where_the_shape_does_not(tmp_path: Path) -> None:
    both = RNG.integers(0, 256, (6, 3, 8, 3), dtype=np.uint8)
    path = saved(tmp_path, x_train=both, x_test=both[:3])
    with pytest.raises(RequestError, match="say whether channels come first or last"):
        read_npz(path)
    for channels, shape in (("first", (3, 8, 3)), ("last", (3, 3, 8))):
        (images, _), _ = read_npz(path, channels=channels)
        assert images.shape[1:] == shape


@pytest.mark.parametrize("compressed", [False, True])
def test_large_arrays_are_unpacked_once_and_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressed: bool
) -> None:
    monkeypatch.setattr("bench.datasets._archive._LARGE", 400)
    path = tmp_path / "own.npz"
    (np.savez_compressed if compressed else np.savez)(path, **SOUND)
    small = read_npz(saved(tmp_path / "small"))
    for _ in range(2):
        for ours, theirs in zip(small, read_npz(path), strict=True):
            assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
        assert len(list((tmp_path / "data" / "prepared").iterdir())) == 1  # x_train alone

    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RequestError, match=r"is not an \.npz file"):
        read_npz(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("npz", "dataset 'npz' needs parameter file: write npz:file=VALUE"),
        ("npz:path=x", "unknown parameter of dataset 'npz': 'path' .choose from: channels, file"),
        ("digits:file=x", "unknown parameter of dataset 'digits': 'file'"),
        ("npz:file=no.npz", "dataset 'npz:file=no.npz': the file no.npz does not exist"),
        ("digit", "unknown dataset 'digit'.*did you mean 'digits'"),
    ],
)
def test_a_wrong_spec_of_a_data_set_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        load_dataset(name, tmp_path)


@pytest.mark.parametrize("bit", range(8))
def test_every_byte_of_the_directory_of_an_archive_may_be_wrong(tmp_path: Path, bit: int) -> None:
    path = saved(tmp_path)
    content = path.read_bytes()
    for position in range(content.index(b"PK\x01\x02"), len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << bit
        path.write_bytes(bytes(changed))
        with contextlib.suppress(RequestError):
            read_npz(path)
