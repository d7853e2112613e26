"""Runs on images of one's own: folders, files, a plugin, and data without training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.contracts import ImageSets
from bench.progress import Silent
from bench.registry import DATASETS
from bench.stages.loading import LoadingContext

SMALL = """
classifiers = ["cnn"]
defenses = ["none", "median", "bitdepth", "jpeg", "gaussian_noise"]
attacks = ["fgsm"]
threats = ["graybox", "whitebox"]
eps = [0.1]
n = 20
batch_size = 20
draws = 2
convergence = 10

[latency]
batch_sizes = [1]
warmup = 1
min_calls = 3
min_seconds = 0.001
max_seconds = 0.1

[parameters.cnn]
width = 4
hidden = 16
epochs = 15
batch_size = 20
"""


def squares(n: int, seed: int, shape: tuple[int, int] = (12, 20)) -> tuple[np.ndarray, np.ndarray]:
    """Colored images with a bright left or right half, (n, h, w, 3), and their classes."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = random.integers(0, 90, (n, *shape, 3), np.uint8)
    half = shape[1] // 2
    for image, label in zip(images, labels, strict=True):
        image[:, half * label : half * (label + 1)] += 140
    return images, labels


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of PNG files, a folder for each class."""
    root = tmp_path / "pictures"
    for part, n, seed in (("train", 80, 0), ("test", 20, 1)):
        for index, (image, label) in enumerate(zip(*squares(n, seed), strict=True)):
            folder = root / part / ("left", "right")[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{index}.png")
    return root


def results(out: str | Path) -> pd.DataFrame:
    return pd.read_csv(Path(out) / "tables" / "results.csv")


def test_a_folder_and_a_file_of_the_same_images_give_the_same_numbers(  # type: ignore[no-untyped-def]
    bench, small: Path, pictures: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    first = bench("run", "--config", small, "--datasets", f"images:path={pictures}",
                  "--data", data, "--out", "a")  # fmt: skip
    assert first.code == 0, first.err
    frame = results("a")
    assert (frame["status"] == "ok").all()
    assert len(frame) == 10
    assert frame.loc[frame["defense"] != "gaussian_noise", "clean_accuracy"].min() > 0.8

    loaded = DATASETS.get("images")(path=str(pictures)).load(  # type: ignore[call-arg]
        LoadingContext("x", data, Silent())
    )
    assert isinstance(loaded, ImageSets)
    assert loaded.train is not None
    np.savez(
        "own.npz", x_train=loaded.train.images, y_train=loaded.train.labels,
        x_test=loaded.test.images, y_test=loaded.test.labels,
    )  # fmt: skip
    second = bench("run", "--config", small, "--datasets", "npz:file=own.npz", "--no-latency",
                   "--out", "b")  # fmt: skip
    assert second.code == 0, second.err
    columns = ["defense", "threat", "eps", "clean_accuracy", "robust_accuracy"]
    pd.testing.assert_frame_equal(frame[columns], results("b")[columns])
    for command in (("report", "a"), ("export", "a", "weights")):
        done = bench(*command)
        assert done.code == 0, done.err


def test_data_without_training_images_say_what_needs_them(  # type: ignore[no-untyped-def]
    bench, small: Path
) -> None:
    images, labels = squares(20, 1)
    np.savez("own.npz", x_test=images, y_test=labels)
    done = bench("run", "--config", small, "--datasets", "npz:file=own.npz", "--no-latency",
                 "--defenses", "none", "--out", "c")  # fmt: skip
    assert done.code == 1
    assert "the data set has no training images, and this network is trained" in done.err


def test_a_data_set_from_the_template(bench, small: Path) -> None:  # type: ignore[no-untyped-def]
    done = bench("new", "dataset", "halves")
    assert done.code == 0, done.err
    assert "bench run --plugin ./halves.py --datasets halves" in done.out
    done = bench("check", "./halves.py")
    assert done.code == 0, done.out
    assert "Images are uint8 or in [0, 1]" in done.out
    done = bench(
        "run", "--plugin", "./halves.py", "--config", small, "--datasets", "halves:size=12",
        "--defenses", "none,median", "--no-latency", "--out", "d",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert results("d")["clean_accuracy"].min() > 0.9


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("mine.npz", "dataset 'mine.npz' is a file: write npz:file=mine.npz"),
        ("./mine", "dataset './mine' is a folder: write images:path=./mine"),
        ("mnits", "unknown dataset 'mnits'"),
        ("images", "dataset 'images' needs parameter path: write images:path=VALUE"),
        ("images:path=no", "dataset 'images:path=no': the folder no does not exist"),
        ("npz:file=no.npz", "dataset 'npz:file=no.npz': the file no.npz does not exist"),
    ],
)
def test_a_wrong_data_set_is_one_line(bench, given: str, reason: str) -> None:  # type: ignore[no-untyped-def]
    done = bench("run", "--datasets", given)
    assert done.code == 2
    assert reason in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not Path("results").exists()
