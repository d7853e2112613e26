"""The original files of data sets: what is read, and what is refused."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torchvision.datasets import utils

from bench.contracts import DataInfo
from bench.datasets._idx import original_images
from bench.errors import RequestError
from bench.stages.datasets import LoadedDataset, load_dataset
from bench.stages.image_sets import checked_splits
from bench.store.originals import ORIGINALS, OriginalFile, OriginalSet
from tests.plugins.kinds import assert_clean

SHAPES = {
    "train-images-idx3-ubyte": (20, 28, 28),
    "train-labels-idx1-ubyte": (20,),
    "t10k-images-idx3-ubyte": (12, 28, 28),
    "t10k-labels-idx1-ubyte": (12,),
}


def content_of(name: str, seed: int = 0) -> bytes:
    """A file in the IDX format: random images, or each class in turn."""
    shape = SHAPES[name]
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    if "images" in name:
        array = np.random.default_rng(seed).integers(0, 256, shape)
    else:
        array = np.arange(shape[0]) % 10
    return header + array.astype(np.uint8).tobytes()


def original_dataset(original: OriginalSet, folder: Path) -> LoadedDataset:
    """The data set of original files, in their order."""
    train, test, names = checked_splits(original_images(original, folder))
    assert train is not None
    info = DataInfo(test.pixels.shape, 1 + int(train.labels.max()))
    return LoadedDataset(original.dataset, info, train, test, names)


CONTENTS = {name: content_of(name) for name in SHAPES}


@pytest.fixture
def original() -> OriginalSet:
    """A small data set that stands in for MNIST."""
    files = (
        OriginalFile(name, SHAPES[name], hashlib.sha256(content).hexdigest())
        for name, content in CONTENTS.items()
    )
    return OriginalSet("mnist", "MNIST", *files)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The folder of the raw files."""
    path = tmp_path / "MNIST" / "raw"
    path.mkdir(parents=True)
    return path


@pytest.fixture(autouse=True)
def downloaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of downloaded files; every download fails."""
    names: list[str] = []

    def refuse(url: str, *_: object, **__: object) -> None:
        names.append(url.rpartition("/")[2])
        raise OSError("no network\nhere")

    monkeypatch.setattr(utils, "download_and_extract_archive", refuse)
    return names


def put(folder: Path, *, archives: bool = False, without: str = "") -> None:
    """Put the four files there, as they are or as archives."""
    for name, content in CONTENTS.items():
        if name != without:
            path = folder / (f"{name}.gz" if archives else name)
            path.write_bytes(gzip.compress(content) if archives else content)


@pytest.mark.parametrize("archives", [False, True])
def test_files_and_archives_give_the_same_images(
    original: OriginalSet, tmp_path: Path, raw: Path, archives: bool
) -> None:
    put(raw, archives=archives)
    data = original_dataset(original, tmp_path)

    assert (len(data.train), len(data.test), data.info.classes) == (20, 12, 10)
    assert data.info.shape == (1, 28, 28)
    pixels = np.frombuffer(CONTENTS["train-images-idx3-ubyte"], np.uint8, offset=16)
    expected = torch.tensor(pixels.reshape(20, 1, 28, 28)).float() / 255
    assert torch.equal(data.train.images, expected)
    assert data.train.labels.tolist() == [i % 10 for i in range(20)]
    assert sorted(data.test.labels.tolist()) == sorted(i % 10 for i in range(12))


def test_reading_writes_nothing(original: OriginalSet, tmp_path: Path, raw: Path) -> None:
    put(raw, archives=True)
    before = sorted(raw.rglob("*"))
    raw.chmod(0o555)
    original_dataset(original, tmp_path)
    assert sorted(raw.rglob("*")) == before
    raw.chmod(0o755)


def _hole(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:500] + bytes(1_000) + content[1_500:])


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _sparse(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(2**40)


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "hole": _hole,
    "other images": lambda path: path.write_bytes(content_of("train-images-idx3-ubyte", seed=1)),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "empty": lambda path: path.write_bytes(b""),
    "an archive": lambda path: path.write_bytes(gzip.compress(path.read_bytes())),
    "text": lambda path: path.write_text("<html>not found</html>"),
    "another header": lambda path: path.write_bytes(b"\0\0\x0d\x03" + path.read_bytes()[4:]),
    "sparse": _sparse,
    "pipe": _pipe,
    "folder": _folder,
    "device": _device,
    "loop": _loop,
}

IMAGES = "train-images-idx3-ubyte"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_not_the_original_is_refused(
    original: OriginalSet, tmp_path: Path, raw: Path, downloaded: list[str], damage: str
) -> None:
    put(raw)
    DAMAGES[damage](raw / IMAGES)

    with pytest.raises(RequestError) as caught:
        original_dataset(original, tmp_path)

    message = str(caught.value)
    assert_clean(message)
    assert message.startswith(f"{raw / IMAGES} is not the original file of dataset 'mnist' (")
    assert f"put the original {IMAGES}.gz there, or remove {IMAGES}, so that" in message
    assert not downloaded


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_archive_beside_a_damaged_file_is_read_in_its_place(
    original: OriginalSet,
    tmp_path: Path,
    raw: Path,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    put(raw)
    expected = original_dataset(original, tmp_path)
    put(raw, archives=True)
    DAMAGES[damage](raw / IMAGES)

    with caplog.at_level(logging.WARNING, "bench"):
        data = original_dataset(original, tmp_path)

    assert (data.train.digest, data.test.digest) == (expected.train.digest, expected.test.digest)
    (line,) = caplog.messages
    assert f"{IMAGES} is not the original" in line
    assert f"{IMAGES}.gz is read in its place" in line


def _bomb(path: Path) -> None:
    path.write_bytes(gzip.compress(bytes(50_000_000)))


ARCHIVE_DAMAGES: dict[str, Callable[[Path], object]] = {
    "bomb": _bomb,
    "bomb behind the original": lambda path: path.write_bytes(
        gzip.compress(CONTENTS[IMAGES] + bytes(50_000_000))
    ),
    "other images": lambda path: path.write_bytes(gzip.compress(content_of(IMAGES, seed=1))),
    "not compressed": lambda path: path.write_bytes(CONTENTS[IMAGES]),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:2_000]),
    "flipped": lambda path: path.write_bytes(path.read_bytes()[:99] + b"\xff" * 9),
    **{name: DAMAGES[name] for name in ("empty", "sparse", "pipe", "folder", "device", "loop")},
}


@pytest.mark.parametrize("damage", ARCHIVE_DAMAGES)
@pytest.mark.parametrize("with_file", [False, True])
def test_an_archive_that_is_not_the_original_is_refused(
    original: OriginalSet, tmp_path: Path, raw: Path, damage: str, with_file: bool
) -> None:
    put(raw, archives=True)
    ARCHIVE_DAMAGES[damage](raw / f"{IMAGES}.gz")
    if with_file:
        (raw / IMAGES).write_bytes(b"neither")

    with pytest.raises(RequestError, match="is not the original file of dataset 'mnist'") as caught:
        original_dataset(original, tmp_path)

    removed = f"{IMAGES} and {IMAGES}.gz" if with_file else f"{IMAGES}.gz"
    assert f"or remove {removed}, so that the original is downloaded" in str(caught.value)
    assert_clean(str(caught.value))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(SHAPES)), position=st.floats(0, 1), bit=st.integers(0, 7))
def test_every_flipped_bit_of_a_file_is_refused(
    original: OriginalSet, tmp_path: Path, raw: Path, name: str, position: float, bit: int
) -> None:
    put(raw)
    content = bytearray(CONTENTS[name])
    content[int(position * (len(content) - 1))] ^= 1 << bit
    (raw / name).write_bytes(content)
    with pytest.raises(RequestError, match=f"{name} is not the original"):
        original_dataset(original, tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(SHAPES)), position=st.floats(0, 1), bit=st.integers(0, 7))
def test_every_flipped_bit_of_an_archive_is_refused_or_harmless(
    original: OriginalSet, tmp_path: Path, raw: Path, name: str, position: float, bit: int
) -> None:
    put(raw, archives=True)
    path = raw / f"{name}.gz"
    content = bytearray(path.read_bytes())
    content[int(position * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(content)

    arrays = {}
    with contextlib.suppress(RequestError):
        arrays = original.arrays(tmp_path)
    # A header of gzip has bits that mean nothing, such as the time of the compression.
    header = {file.name: 4 + 4 * len(file.shape) for file in original.files}
    found = {file.name: array.tobytes() for file, array in arrays.items()}
    assert found in ({}, {name: content[header[name] :] for name, content in CONTENTS.items()})


@pytest.mark.parametrize("swap", [("train", "t10k"), ("images", "labels")])
def test_files_under_each_others_names_are_refused(
    original: OriginalSet, tmp_path: Path, raw: Path, swap: tuple[str, str]
) -> None:
    put(raw)
    for name in CONTENTS:
        if swap[0] in name:
            (raw / name).write_bytes(
                next(content for other, content in CONTENTS.items() if swap[1] in other)
            )
    with pytest.raises(RequestError, match="is not the original"):
        original_dataset(original, tmp_path)


def test_a_file_that_may_not_be_read_is_refused(
    original: OriginalSet, tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, most: int) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    put(raw)
    monkeypatch.setattr("bench.store.originals.read_bytes", refuse)
    with pytest.raises(RequestError, match=r"\(Permission denied\)"):
        original_dataset(original, tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_absent_data_without_network_is_one_line(
    tmp_path: Path, downloaded: list[str], name: str
) -> None:
    with pytest.raises(
        RequestError, match=r"cannot be downloaded \(no network here\): put train-images.*\.gz"
    ) as caught:
        load_dataset(name, tmp_path)

    assert_clean(str(caught.value))
    assert set(downloaded) == {"train-images-idx3-ubyte.gz"}
    assert list((tmp_path / ORIGINALS[name].source / "raw").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(original: OriginalSet, tmp_path: Path) -> None:
    (tmp_path / "MNIST").write_text("a file in place of the folder")
    with pytest.raises(RequestError, match="is not complete in") as caught:
        original_dataset(original, tmp_path)
    assert_clean(str(caught.value))


def test_only_what_is_missing_is_downloaded(
    original: OriginalSet, tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, str | None]] = []

    def fetch(url: str, folder: str, filename: str, md5: str | None) -> None:
        given.append((url, md5))
        name = filename.removesuffix(".gz")
        if "s3" in url:  # the first mirror
            raise RuntimeError("File not found or corrupted.")
        Path(folder, name).write_bytes(CONTENTS[name])
        Path(folder, filename).write_bytes(gzip.compress(CONTENTS[name]))

    missing = "t10k-labels-idx1-ubyte"
    put(raw, without=missing)
    monkeypatch.setattr(utils, "download_and_extract_archive", fetch)
    data = original_dataset(original, tmp_path)

    assert len(data.test) == 12
    md5 = dict(torchvision.datasets.MNIST.resources)[f"{missing}.gz"]
    mirrors = torchvision.datasets.MNIST.mirrors
    assert given == [(f"{mirror}{missing}.gz", md5) for mirror in mirrors]
    assert {path.name for path in raw.iterdir()} == {*SHAPES, f"{missing}.gz"}


def test_a_download_that_is_not_the_original_is_refused(
    original: OriginalSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(url: str, folder: str, filename: str, md5: str | None) -> None:
        for name in (filename, filename.removesuffix(".gz")):
            Path(folder, name).write_bytes(b"something else")

    monkeypatch.setattr(utils, "download_and_extract_archive", fetch)
    with pytest.raises(RequestError, match="is not the original"):
        original_dataset(original, tmp_path)


def test_the_known_files_are_those_that_torchvision_downloads() -> None:
    for original in ORIGINALS.values():
        source = getattr(torchvision.datasets, original.source)
        assert [file.archive for file in original.files] == [name for name, _ in source.resources]
        assert {len(file.sha256) for file in original.files} == {64}
        assert [file.size for file in original.files] == [47_040_016, 60_008, 7_840_016, 10_008]
