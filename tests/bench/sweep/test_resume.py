"""Killed at any point, a run continues and ends with the same numbers; two runs share a cache."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from bench.store.artifacts import read_artifact
from tests.forked import ForkedCommand

pytestmark = pytest.mark.slow  # all of it, so that one process has the fixtures

NUMBERS = [
    "clean_accuracy",
    "robust_accuracy",
    "undefended_clean_accuracy",
    "undefended_robust_accuracy",
    "mean_linf",
    "mean_l2",
    "verdict",
    "status",
]


@pytest.fixture(scope="module")
def short(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny configuration with a randomized defense and attack, and less training."""
    text = tiny.read_text().replace("epochs = 12", "epochs = 5")
    text = text.replace('"none", "convae"', '"convae", "puvae"').replace(
        '["fgsm"]', '["fgsm", "pgd"]'
    )
    path = tmp_path_factory.mktemp("config") / "short.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def undisturbed_run(short: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run from start to end (`out`) and the cache that it filled."""
    folder = tmp_path_factory.mktemp("undisturbed")
    # An interpreter of its own orders sets of texts in another way than those that fork.
    done = subprocess.run(
        [sys.executable, "-m", "bench", *command(short), "--cache", str(folder / "cache")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def undisturbed(undisturbed_run: Path) -> pd.DataFrame:
    return numbers(undisturbed_run / "out")


def command(config: Path, *options: object) -> list[str]:
    """A run without figures, and by default without timings, which do not follow from numbers."""
    given = [
        "run",
        "--config",
        config,
        "--out",
        "out",
        "--device",
        "cpu",
        "--no-plots",
        "--no-html",
    ]
    return [*map(str, given), *map(str, options or ["--no-latency"])]


def run(config: Path, folder: Path, cache: Path) -> None:
    code, err = ForkedCommand.start(folder, *command(config), "--cache", cache).wait()
    assert code == 0, err


def numbers(out: Path) -> pd.DataFrame:
    results = pd.read_csv(out / "tables" / "results.csv")
    return results.set_index(["defense", "attack", "eps"])[NUMBERS]


def test_kill_9_at_several_points_changes_nothing(
    short: Path, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    """The run is killed each time a few more files have appeared, until it reaches its end."""
    cache, kills = tmp_path / "cache", 0
    for _ in range(40):
        # Timings are files too.
        started = ForkedCommand.start(tmp_path, *command(short, "--cache", cache))
        before = files(tmp_path)
        while started.process.is_alive() and files(tmp_path) < before + 12:
            time.sleep(0.005)
        if not started.process.is_alive():
            break
        started.process.kill()
        started.process.join()
        kills += 1
    assert started.wait()[0] == 0
    assert kills >= 3
    pd.testing.assert_frame_equal(numbers(tmp_path / "out"), undisturbed)
    for path in cache.rglob("*.safetensors"):
        read_artifact(path)


def files(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.suffix in (".safetensors", ".json"))


def test_damaged_artifacts_are_made_again_with_the_same_numbers(
    short: Path, undisturbed_run: Path, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    cache = Path(shutil.copytree(undisturbed_run / "cache", tmp_path / "cache"))
    for index, path in enumerate(sorted(cache.rglob("*.safetensors"))):
        content = path.read_bytes()
        path.write_bytes(
            content[: len(content) // 2] if index % 2 else content[:-1] + bytes([content[-1] ^ 1])
        )
    run(short, tmp_path, cache)
    pd.testing.assert_frame_equal(numbers(tmp_path / "out"), undisturbed)


def test_two_runs_on_one_cache_train_nothing_twice(
    short: Path, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    started = [ForkedCommand.start(folder, *command(short), "--cache", cache) for folder in folders]
    codes, errors = zip(*(each.wait() for each in started), strict=True)
    assert codes == (0, 0), errors
    for folder in folders:
        pd.testing.assert_frame_equal(numbers(folder / "out"), undisturbed)
    titles = [
        read_artifact(path).meta["title"] for path in (cache / "network").glob("*.safetensors")
    ]
    assert len(titles) == 3
    said = [line for error in errors for line in error.splitlines() if line.startswith("trained ")]
    trained = [line.removeprefix("trained ").rpartition(" in ")[0] for line in said]
    assert sorted(trained) == sorted(titles)


def test_a_full_disk_is_reported_and_earlier_files_are_intact(
    short: Path, undisturbed: pd.DataFrame, tmp_path: Path
) -> None:
    """A limit on the size of a file stands for a full disk: a network does not fit."""
    cache = tmp_path / "cache"

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    arguments = (*command(short), "--cache", cache)
    code, err = ForkedCommand.start(tmp_path, *arguments, before=limit).wait()
    assert code == 1
    assert "cannot write" in err.splitlines()[-1]
    assert "what was written before is intact" in err.splitlines()[-1]
    assert "Traceback" not in err
    for path in cache.rglob("*.safetensors"):
        read_artifact(path)
    assert not list(tmp_path.rglob("*.partial"))
    run(short, tmp_path, cache)
    pd.testing.assert_frame_equal(numbers(tmp_path / "out"), undisturbed)
