"""The report of a hand-made run against golden files; `BENCH_GOLDEN=write` writes them anew, for review."""

from __future__ import annotations

import io
import os
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.errors import RequestError
from bench.keys import content_key
from bench.report import latency_frame, print_tables, results_frame, write_report
from bench.report.tables import accuracy_table
from bench.runs import Result, RunFolder, Timing

GOLDEN = Path(__file__).parent / "golden"
N = 20


def outcome(clean: int, undefended: int, robust: int, moved: float = 0.1) -> dict[str, np.ndarray]:
    """Raw arrays in which the first so many of 20 images are right."""
    labels = np.arange(N) % 10
    wrong = (labels + 1) % 10

    def predictions(right: int) -> np.ndarray:
        return np.where(np.arange(N) < right, labels, wrong)

    picture = np.linspace(0, 1, 4 * 4, dtype=np.float32).reshape(1, 1, 4, 4).repeat(10, axis=0)
    return {
        "labels": labels,
        "clean_undefended": predictions(19),
        "clean_defended": predictions(clean)[None],
        "adversarial_undefended": predictions(undefended),
        "adversarial_defended": np.stack([predictions(robust), predictions(robust - 2)]),
        "attacked": np.arange(N) < 19,
        "gradient_norm": np.ones(N, np.float32),
        "linf": np.full(N, moved, np.float32),
        "l2": np.full(N, 4 * moved, np.float32),
        "sample_clean": picture,
        "sample_adversarial": (picture + moved).clip(0, 1),
        "sample_purified": picture * 0.9,
    }


def result(defense: str, eps: float, status: str = "ok", reason: str = "") -> Result:
    labels = {
        "dataset": "digits",
        "classifier": "cnn",
        "defense": defense,
        "attack": "fgsm",
        "eps": eps,
        "threat": "graybox",
        "seed": 0,
    }
    key = content_key(labels)
    return Result(key, labels, N, status, reason, {}, {}, "environment")  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path / "run", {"defenses": ["none", "convae:width=8", "still", "broken_one"]})
    for defense, robust in (("none", 4), ("convae:width=8", 17)):
        for eps in (0.1, 0.3):
            folder.save(result(defense, eps), outcome(18, 6, robust - int(10 * eps)))
    folder.save(result("still", 0.1), outcome(18, 18, 18, moved=0.0))
    folder.save(
        result("broken_one", 0.1, "failed", "defense broken_one raised ValueError: 50% off & more_to_come"), None
    )
    for defense, milliseconds in (("none", 1.0), ("convae:width=8", 3.0)):
        for target, factor in (("purifier", 0.5), ("pipeline", 1.0)):
            for size in (1, 32):
                seconds = tuple(factor * size**0.5 * milliseconds * (1 + i / 100) / 1e3 for i in range(11))
                labels = {"dataset": "digits", "classifier": "cnn", "defense": defense}
                folder.save_timing(Timing(labels, target, size, "eager", "cpu", 3, seconds))
    return folder


@pytest.mark.parametrize(
    "name", ["results.csv", "latency.csv", "accuracy.md", "accuracy.tex", "latency_table.md", "latency_table.tex"]
)
def test_tables_are_the_golden_ones(run: RunFolder, name: str) -> None:
    write_report(run)
    written = (run.path / "tables" / name).read_text()
    if os.environ.get("BENCH_GOLDEN") == "write":
        (GOLDEN / name).write_text(written)
    assert written == (GOLDEN / name).read_text()


def test_the_report_is_the_same_every_time(run: RunFolder) -> None:
    write_report(run)
    first = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    write_report(run)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == first


def test_plots_are_pictures_with_something_on_them(run: RunFolder) -> None:
    write_report(run)
    plots = sorted(path.name for path in (run.path / "plots").glob("*.png"))
    assert plots == [
        "accuracy_eps_digits_cnn_fgsm_graybox.png",
        "accuracy_latency_digits_cnn_fgsm_graybox_eps0.1.png",
        "accuracy_latency_digits_cnn_fgsm_graybox_eps0.3.png",
        "images_digits_cnn_fgsm_graybox_seed0.png",
    ]
    for name in plots:
        pixels = matplotlib.image.imread(run.path / "plots" / name)
        assert min(pixels.shape[:2]) > 200
        assert 0.005 < float((pixels[..., :3].min(axis=2) < 0.9).mean()) < 0.95
        assert (run.path / "plots" / name.replace(".png", ".svg")).stat().st_size > 1000


def test_numbers_are_derived_from_the_raw_arrays(run: RunFolder) -> None:
    frame = results_frame(run).set_index(["defense", "eps"])
    row = frame.loc[("convae:width=8", 0.3)]
    assert (row["clean_accuracy"], row["undefended_clean_accuracy"], row["undefended_accuracy"]) == (0.9, 0.95, 0.3)
    assert row["robust_accuracy"] == pytest.approx((14 + 12) / 2 / N)
    assert row["robust_accuracy_worst_draw"] == pytest.approx(12 / N)
    assert row["latency_p50_ms"] == pytest.approx(3.0 * 1.05)


def test_an_attack_that_did_not_move_is_marked_and_a_failure_has_its_reason(run: RunFolder) -> None:
    table = accuracy_table(results_frame(run)).set_index(["defense", "eps"])
    assert table.loc[("still", 0.1), "verdict"] == "invalid: the attack moved 0% of the images"
    assert table.loc[("broken_one", 0.1), "verdict"].startswith("failed: defense broken_one raised")
    assert table.loc[("broken_one", 0.1), "attacked, defended"] == ""


def test_the_terminal_shows_every_row(run: RunFolder) -> None:
    buffer = io.StringIO()
    print_tables(Console(file=buffer, width=200), results_frame(run), latency_frame(run))
    text = buffer.getvalue()
    for word in ("convae:width=8", "still", "broken_one", "invalid", "p95 ms, batch 32", "dataset digits"):
        assert word in text


def test_a_run_without_latency_or_with_failures_only_is_reported(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    folder.save(result("broken_one", 0.1, "failed", "no luck"), None)
    write_report(folder)
    assert len(pd.read_csv(folder.path / "tables" / "results.csv")) == 1
    print_tables(Console(file=io.StringIO()), results_frame(folder), latency_frame(folder))


def test_a_record_of_another_schema_is_refused(run: RunFolder) -> None:
    (path, *_) = (run.path / "cells").glob("*.json")
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(RequestError, match="has schema 99; this version reads 1"):
        results_frame(run)


def test_a_damaged_record_is_told(run: RunFolder) -> None:
    (path, *_) = (run.path / "cells").glob("*.json")
    path.write_text("{")
    with pytest.raises(RequestError, match="is damaged"):
        results_frame(run)
