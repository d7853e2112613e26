"""Purifiers and attacks of the literature, one class each: every command takes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
PURIFYING = PLUGINS / "purifying.py"
BORROWED = PLUGINS / "borrowed.py"
DEFENSES = [
    "shrink_and_pad",
    "total_variation",
    "moved_pixels:pixels=40",
    "ddpm:steps=60:denoising=2",
    "noise_autoencoder:steps=60",
    "vote:defense=[shrink_and_pad]:draws=3",
]


@pytest.mark.slow
def test_purifiers_run_report_time_and_export(bench: Callable[..., Any], tiny: Path) -> None:
    given = ("--config", tiny, "--plugin", PURIFYING, "--plugin", BORROWED)
    names = ("--defenses", ",".join(DEFENSES))
    grid = ("--attacks", "fgsm,art_momentum:steps=3", "--threats", "graybox,bpda,whitebox")
    cut = ("--n", 16, "--eps", "0.2", "--draws", 2, "--convergence", 8)
    done = bench("run", *given, *names, *grid, *cut, "--no-latency", "--out", "out")
    assert done.code == 0, done.err

    results = pd.read_csv("out/tables/results.csv")
    assert (results["status"] == "ok").all()
    assert len(results) == 6 * 2 * 3
    # Images that move less than their budget leave the classifier's accuracy where it was, or fall.
    assert (results["robust_accuracy"] <= results["clean_accuracy"] + 0.1).all()

    assert bench("report", "out").code == 0
    timed = bench("latency", *given[:4], *names)
    assert timed.code == 0, timed.err
    exported = bench("export", "out", "weights")
    assert exported.code == 0, exported.err
    files = {path.name.split("-")[1] for path in Path("weights").glob("*.safetensors")}
    assert files == {"cnn", "ddpm", "noise_autoencoder"}


@pytest.mark.parametrize(
    "name", ["shrink_and_pad", "total_variation", "moved_pixels", "ddpm", "noise_autoencoder"]
)
def test_purifiers_pass_the_conformance_suite(bench: Callable[..., Any], name: str) -> None:
    for images in ("digits", "digits:colors=rgb:size=17"):
        done = bench("check", f"{PURIFYING}:{name}", "--dataset", images)
        assert done.code == 0, done.out


def test_an_attack_of_art_passes_the_conformance_suite(bench: Callable[..., Any]) -> None:
    done = bench("check", f"{BORROWED}:art_momentum")
    assert done.code == 0, done.out


def test_an_attack_of_torchattacks_passes_the_conformance_suite(bench: Callable[..., Any]) -> None:
    pytest.importorskip("torchattacks")
    done = bench("check", f"{BORROWED}:torchattacks_pgd")
    assert done.code == 0, done.out
