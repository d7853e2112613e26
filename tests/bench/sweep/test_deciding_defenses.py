"""Runs with defenses that decide by themselves: what rejections and abstentions are worth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.records.folder import RunFolder
from bench.records.outcome import REJECTED

PLUGINS = Path(__file__).parents[2] / "plugins"
DECIDING = PLUGINS / "deciding.py"
SHOWN = PLUGINS / "my_detector.py"
GIVEN = ("--plugin", DECIDING, "--plugin", SHOWN)
NAMES = ["error_detector", "abstaining:samples=8", "anti_adversary", "my_detector"]


@pytest.mark.slow
def test_defenses_that_decide_run_report_time_and_export(
    bench: Callable[..., Any], tiny: Path
) -> None:
    names = ",".join(["none", *NAMES])
    run = ("run", "--config", tiny, *GIVEN, "--defenses", names, "--out", "out")
    done = bench(*run, "--threats", "graybox,bpda,whitebox,adaptive:budget=quick", "--eps", "0.2",
                 "--n", "20", "--draws", "2", "--convergence", "10")  # fmt: skip
    assert done.code == 0, done.err

    results = pd.read_csv("out/tables/results.csv").set_index(["defense", "threat"])
    for name in ("abstaining:samples=8", "anti_adversary", "my_detector"):
        assert results.loc[name, "bpda"]["status"] == "skipped"
        assert "without making an image" in results.loc[name, "bpda"]["reason"]
    assert results.loc["error_detector", "bpda"]["status"] == "ok"
    assert (results["status"] != "failed").all()

    folder = RunFolder.open(Path("out"))
    rejecting = set()
    for record in folder.records():
        if record.status == "ok" and record.defense_name in ("error_detector", "abstaining"):
            outcome = folder.outcome(record)
            row = results.loc[record.labels["defense"], record.labels["threat"]]
            clean, attacked = outcome.clean_defended, outcome.adversarial_defended
            accepted = clean != REJECTED
            is_caught = (attacked == REJECTED) & (clean == outcome.labels)
            fails = (attacked == outcome.labels) | is_caught
            assert row["robust_accuracy"] == pytest.approx(fails.mean())
            if not outcome.rejections:
                assert np.isnan(row["clean_rejected"])
                continue
            rejecting.add(record.defense_name)
            assert row["clean_rejected"] == pytest.approx(1 - accepted.mean())
            right = (clean == outcome.labels)[accepted]
            assert row["accepted_accuracy"] == pytest.approx(right.mean())
    assert rejecting == {"error_detector", "abstaining"}

    radius = results.loc["abstaining:samples=8", "graybox"]["extra_radius"]
    outcome = next(
        folder.outcome(record) for record in folder.records() if record.defense_name == "abstaining"
    )
    assert radius == pytest.approx(np.nanmean(outcome.clean_extras["radius"]), rel=1e-6)
    assert np.isnan(outcome.clean_extras["radius"][outcome.clean_defended == REJECTED]).all()
    assert "mean radius, clean" in Path("out/tables/accuracy.md").read_text()

    timed = bench("latency", "--config", tiny, *GIVEN, "--defenses", names)
    assert timed.code == 0, timed.err
    exported = bench("export", "out", "weights")
    assert exported.code == 0, exported.err


@pytest.mark.parametrize("name", ["error_detector", "abstaining", "anti_adversary"])
def test_defenses_that_decide_pass_the_conformance_suite(
    bench: Callable[..., Any], name: str
) -> None:
    done = bench("check", f"{DECIDING}:{name}")
    assert done.code == 0, done.out
    assert f"defense {name}" in done.out
