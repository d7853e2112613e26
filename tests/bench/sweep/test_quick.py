"""The README's first command: one budget, fewer images, draws and training steps, no timings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

SHORTER = "convae:steps=160,puvae:epochs=12,defensegan:iterations=200:restarts=2"
"""The defenses of the command, with less work, which keep what is asked of them here."""

LESS = ("--eps", "0.1", "--n", 40, "--draws", 2, "--no-latency")


@pytest.mark.slow
def test_the_readmes_first_command(bench, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    command = ("run", "--defenses", SHORTER, *LESS)
    done = bench(*command, "--cache", tmp_path / "cache")
    assert done.code == 0, done.err
    (folder,) = Path("results/runs").iterdir()
    assert folder.name.startswith("quick-")
    results = pd.read_csv(folder / "tables" / "results.csv")
    assert (results["status"] == "ok").all()
    adaptive = results["threat_name"] == "adaptive"
    assert (results.loc[~adaptive, "verdict"] == "ok").all()
    # The small budget averages over no draws, which the verdict on a randomized defense says.
    assert adaptive.sum() == 3
    assert (results.loc[adaptive, "verdict"] != "invalid").all(), results.loc[adaptive, "reasons"]
    clean = results.groupby("defense")["clean_accuracy"].first()
    assert (clean > 0.75).all(), clean
    assert results["undefended_clean_accuracy"].iloc[0] > 0.9
    at = results[(results["eps"] == 0.1) & ~adaptive]
    assert (at["robust_accuracy"] > at["undefended_robust_accuracy"]).all()
    again = bench(*command, "--cache", tmp_path / "cache")
    assert again.code == 0
    assert again.out == done.out
