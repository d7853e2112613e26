"""The report of a hand-made run against golden files.

`BENCH_GOLDEN=write` writes them anew, for review.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.errors import RequestError
from bench.records.cell import SCHEMA
from bench.records.folder import RunFolder
from bench.records.outcome import Outcome
from bench.records.pipeline import Pipeline
from bench.records.timing import Samples, TimedCall, Timing
from bench.report import Report, print_tables, write_report
from bench.report.accuracy.tables import accuracy_table, threat_table

GOLDEN = Path(__file__).parent / "golden"
N = 20


def first(count: int) -> np.ndarray:
    """The first so many of 20 images."""
    return np.arange(N) < count


def outcome(
    made: Any, robust: int, clean: int = 18, undefended: int = 6, moved: float = 0.1
) -> Outcome:
    """Raw arrays of four draws: the first so many of 20 images are right, and two fewer."""
    draws = [first(robust), first(robust - 2)] * 2
    found = made.outcome(draws, [first(clean)] * 4, first(undefended), moved)
    wrong = (found.labels + 1) % 10
    return replace(
        found, clean_undefended=np.where(first(19), found.labels, wrong), attacked=first(19)
    )


def hand_made(made: Any, path: Path) -> RunFolder:
    """Four defenses under two threat models.

    One attack does not move, one defense is broken, one cell is skipped.
    """
    names = ["none", "convae:width=8", "still", "broken_one"]
    folder = RunFolder.create(path, {"defenses": names, "threats": ["graybox", "whitebox:eot=10"]})
    for defense, robust in (("none", 6), ("convae:width=8", 17)):
        for eps in (0.1, 0.3):
            right = robust - int(10 * eps)
            evaluated = made.record(defense, eps=eps, stochastic=True)
            folder.save(evaluated, outcome(made, right), made.images())
            seen = made.record(defense, eps=eps, threat="whitebox:eot=10", eot=10, stochastic=True)
            folder.save(seen, outcome(made, right - (defense != "none") * 6), made.images())
    still = made.record("still", stochastic=True)
    folder.save(still, outcome(made, 18, undefended=18, moved=0.0), made.images())
    reason = "defense broken_one raised ValueError: 50% off & more_to_come"
    folder.save(made.record("broken_one", status="failed", reason=reason), None)
    facts = {"norm": "l2", "minimum_norm": True, "steps": 9, "stochastic": True}
    nearest = made.record("convae:width=8", "cw", 0.5, **facts)
    distances = np.where(first(9), 0.25, np.inf)
    folder.save(nearest, replace(outcome(made, 11), minimum_distance=distances), made.images())
    reason = "attack cw follows a gradient, and query access gives none"
    folder.save(
        made.record("none", "cw", 0.5, norm="l2", threat="query", status="skipped", reason=reason),
        None,
    )
    for defense, milliseconds in (("none", 1.0), ("convae:width=8", 3.0)):
        for target, factor in (("purifier", 0.5), ("pipeline", 1.0)):
            for size in (1, 32):
                seconds = tuple(
                    factor * size**0.5 * milliseconds * (1 + i / 100) / 1e3 for i in range(11)
                )
                pipeline = Pipeline("digits", "cnn", defense)
                subject = TimedCall(pipeline, target, size, "eager", "float32", "cpu", 0)
                folder.save_timing(
                    Timing(subject, "ok", samples=Samples(seconds, (), 3, True, None, None))
                )
    return folder


@pytest.fixture
def run(made: Any, tmp_path: Path) -> RunFolder:
    """Without tables or plots, for a test to change."""
    return hand_made(made, tmp_path / "run")


@pytest.fixture(scope="module")
def written(made: Any, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """With tables and plots, for tests to look at."""
    folder = hand_made(made, tmp_path_factory.mktemp("written") / "run")
    write_report(folder)
    return folder


TABLES = ("accuracy", "decisions", "latency", "pairs", "worst_case")


@pytest.mark.parametrize(
    "name",
    [
        *("results.csv", "decisions.csv", "latency.csv", "pairs.csv", "worst_case.csv"),
        *(f"{table}.{end}" for table in TABLES for end in ("md", "tex")),
    ],
)
def test_tables_are_the_golden_ones(written: RunFolder, name: str) -> None:
    text = (written.path / "tables" / name).read_text()
    if os.environ.get("BENCH_GOLDEN") == "write":
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


def test_every_table_for_people_has_a_csv_file_of_its_name(written: RunFolder) -> None:
    folder = written.path / "tables"
    for page in folder.glob("*.md"):
        assert page.with_suffix(".csv").is_file(), page.name
        assert page.with_suffix(".tex").is_file(), page.name

    accuracy = pd.read_csv(folder / "accuracy.csv", dtype=str, keep_default_na=False)
    expected = accuracy_table(Report.of(written).results)
    assert accuracy.columns.tolist() == expected.columns.tolist()
    assert accuracy["reasons"].tolist() == expected["reasons"].tolist()
    # A frame with every column is not replaced by the few that people read.
    assert "p_holm" in pd.read_csv(folder / "pairs.csv").columns


def test_the_report_is_the_same_every_time(written: RunFolder) -> None:
    first = {path: path.read_bytes() for path in written.path.rglob("*") if path.is_file()}
    write_report(written)
    assert {path: path.read_bytes() for path in written.path.rglob("*") if path.is_file()} == first


def test_plots_are_pictures_with_something_on_them(written: RunFolder) -> None:
    plots = sorted(path.name for path in (written.path / "plots").glob("*.png"))
    assert plots == [
        "accuracy_eps_digits_cnn_cw_graybox.png",
        "accuracy_eps_digits_cnn_fgsm_graybox.png",
        "accuracy_eps_digits_cnn_fgsm_whitebox.png",
        "accuracy_latency_digits_cnn_cw_graybox.png",
        "accuracy_latency_digits_cnn_fgsm_graybox.png",
        "accuracy_latency_worst_case_digits_cnn_l2.png",
        "accuracy_latency_worst_case_digits_cnn_linf.png",
        "images_digits_cnn_cw_graybox_seed0.png",
        "images_digits_cnn_fgsm_graybox_seed0.png",
        "images_digits_cnn_fgsm_whitebox_seed0.png",
        "latency_batch_digits_cnn.png",
        "threats_digits_cnn_fgsm.png",
        "worst_case_digits_cnn_l2.png",
        "worst_case_digits_cnn_linf.png",
    ]
    for name in plots:
        pixels = matplotlib.image.imread(written.path / "plots" / name)
        assert min(pixels.shape[:2]) > 200
        assert 0.005 < float((pixels[..., :3].min(axis=2) < 0.9).mean()) < 0.95


def test_numbers_are_derived_from_the_raw_arrays(written: RunFolder) -> None:
    frame = Report.of(written).results.set_index(["defense", "attack", "threat", "eps"])
    row = frame.loc[("convae:width=8", "fgsm", "graybox", 0.3)]
    assert (
        row["clean_accuracy"],
        row["undefended_clean_accuracy"],
        row["undefended_robust_accuracy"],
    ) == (0.9, 0.95, 0.3)
    assert row["robust_accuracy"] == pytest.approx((14 + 12) / 2 / N)
    assert row["robust_accuracy_worst_draw"] == pytest.approx(12 / N)
    assert (row["mean_linf"], row["mean_l2"], row["mean_l1"]) == pytest.approx((0.1, 0.4, 1.6))
    assert row["latency_p50_ms"] == pytest.approx(3.0 * 1.05)
    assert (row["norm"], row["eot"]) == ("linf", 1)
    assert frame.loc[("convae:width=8", "fgsm", "whitebox:eot=10", 0.3), "eot"] == 10


def test_the_nearest_image_is_the_median_over_images(written: RunFolder) -> None:
    """Of 20 images 9 are at 0.25, 2 wrong anyway, 9 without any: the median lies at 0.25."""
    results = Report.of(written).results
    of_cw = (results["attack"] == "cw") & (results["status"] == "ok")
    assert results.loc[of_cw, "minimum_distance_median"].tolist() == [0.25]
    assert results.loc[~of_cw, "minimum_distance_median"].isna().all()


def test_a_median_without_an_image_is_shown_as_infinite(made: Any, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    found = replace(outcome(made, 18), minimum_distance=np.full(N, np.inf))
    facts = {"norm": "l2", "minimum_norm": True, "stochastic": True}
    folder.save(made.record(attack="cw", **facts), found)
    write_report(folder)
    assert pd.read_csv(folder.path / "tables" / "results.csv")[
        "minimum_distance_median"
    ].tolist() == [np.inf]
    assert accuracy_table(Report.of(folder).results)["median minimum distance"].tolist() == ["inf"]


def test_an_attack_that_did_not_move_is_marked_and_a_failure_has_its_reason(
    written: RunFolder,
) -> None:
    report = Report.of(written)
    table = accuracy_table(report.results).set_index(["defense", "eps"])
    columns = ["verdict", "reasons"]
    assert table.loc[("still", 0.1), columns].tolist() == [
        "invalid",
        "the attack moved 0% of the images",
    ]
    assert report.invalid == 1
    verdict, reasons = table.loc[("broken_one", 0.1), columns]
    assert verdict == "failed"
    assert reasons.startswith("defense broken_one raised")
    assert table.loc[("broken_one", 0.1), "robust accuracy"] == ""


def test_a_skipped_cell_is_counted_below_the_table_and_has_its_reason_in_the_csv(
    written: RunFolder,
) -> None:
    text = (written.path / "tables" / "accuracy.md").read_text()
    assert "| query" not in text
    assert text.endswith("\n1 cell skipped (reasons in results.csv): cw under query\n")
    results = pd.read_csv(written.path / "tables" / "results.csv")
    assert (
        results.loc[results["status"] == "skipped", "reason"]
        .str.contains("query access gives none")
        .all()
    )


def test_the_terminal_shows_every_row(written: RunFolder) -> None:
    buffer = io.StringIO()
    print_tables(Console(file=buffer, width=250), Report.of(written), every=True)
    text = buffer.getvalue()
    for word in (
        "convae:width=8",
        "still",
        "broken_one",
        "invalid",
        "p95 ms, batch 32",
        "dataset digits",
        "skipped",
    ):
        assert word in text
    assert (
        text.index("Decision")
        < text.index("Worst case")
        < text.index("threat models side by side")
        < text.index("Latency")
    )


def test_a_run_without_latency_or_with_failures_only_is_reported(made: Any, tmp_path: Path) -> None:
    for status in ("failed", "skipped"):
        folder = RunFolder.create(tmp_path / status, {})
        folder.save(made.record(status=status, reason="no luck"), None)
        write_report(folder)
        assert len(pd.read_csv(folder.path / "tables" / "results.csv")) == 1
        print_tables(Console(file=io.StringIO()), Report.of(folder))


def test_one_attack_under_one_threat_model_needs_no_worst_case_on_the_terminal(
    made: Any, tmp_path: Path
) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    folder.save(made.record(stochastic=True), outcome(made, 9), made.images())
    buffer = io.StringIO()
    print_tables(Console(file=buffer, width=250), Report.of(folder))
    assert "Worst case" not in buffer.getvalue()
    assert "Accuracy, with" in buffer.getvalue()


def test_threat_models_stand_side_by_side_with_the_mark_of_their_verdict(
    made: Any, tmp_path: Path
) -> None:
    folder = RunFolder.create(
        tmp_path / "run", {"threats": ["graybox", "bpda", "whitebox"], "defenses": ["a", "b"]}
    )
    n = 100
    cells = [
        ("a", "graybox", 80, {}),
        ("a", "whitebox", 30, {}),
        ("b", "graybox", 70, {}),
        ("b", "bpda", 20, {}),
        ("b", "whitebox", 60, {}),
        ("a", "bpda", 90, {"moved": 0.0}),
    ]
    for defense, threat, right, changes in cells:
        folder.save(
            made.record(defense, threat=threat, n=n),
            made.outcome(np.arange(n) < right, moved=changes.get("moved", 0.1)),
        )
    folder.save(made.record("c", threat="graybox", status="failed", reason="no luck"), None)
    table = threat_table(Report.of(folder).results).set_index("defense")
    assert list(table.columns[-4:]) == ["clean accuracy", "graybox", "bpda", "whitebox"]
    assert table.loc["a", ["graybox", "bpda", "whitebox"]].tolist() == ["0.800", "0.900 !", "0.300"]
    assert table.loc["b", ["graybox", "bpda", "whitebox"]].tolist() == ["0.700", "0.200", "0.600 ?"]
    assert table.loc["c", ["graybox", "bpda", "whitebox"]].tolist() == ["failed", "", ""]
    buffer = io.StringIO()
    print_tables(Console(file=buffer, width=250), Report.of(folder), every=True)
    assert (
        "4 ok, 1 suspect (?), 1 invalid (!); reasons and intervals in accuracy.md"
        in buffer.getvalue()
    )
    buffer = io.StringIO()
    print_tables(Console(file=buffer, width=250), Report.of(folder))
    assert "side by side" not in buffer.getvalue()
    assert "Accuracy, with" not in buffer.getvalue()


def test_a_record_without_a_label_is_refused(run: RunFolder) -> None:
    path = next(iter((run.path / "cells").glob("*.json")))
    record = json.loads(path.read_text())
    del record["labels"]["seed"]
    path.write_text(json.dumps(record))
    with pytest.raises(RequestError, match="its content does not match its seal"):
        list(run.records())


def test_a_record_of_another_schema_is_refused(run: RunFolder) -> None:
    (path, *_) = (run.path / "cells").glob("*.json")
    content = json.loads(path.read_text())
    del content["seal"]
    path.write_text(json.dumps({**content, "schema": 99}))
    with pytest.raises(RequestError, match=f"schema 99; this version reads 2, 3 and {SCHEMA}"):
        Report.of(run)


def test_a_damaged_record_is_told(run: RunFolder) -> None:
    (path, *_) = (run.path / "cells").glob("*.json")
    path.write_text("{")
    with pytest.raises(RequestError, match="is damaged"):
        Report.of(run)
