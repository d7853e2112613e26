"""Tables of decisions: numbers that round to zero have no sign of minus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.records.folder import RunFolder
from bench.report import Report
from bench.report.decision.gains import CLEAN_LOST, GRAYBOX_GAIN, WORST_CASE_GAIN
from bench.report.decision.tables import brief_table, decision_table
from bench.report.naming import RunNames


@pytest.fixture
def decisions(made: Any, tmp_path: Path) -> pd.DataFrame:
    """The frame of a run with two defenses."""
    folder = RunFolder.create(tmp_path / "run", {"defenses": ["none", "convae"]})
    for defense, right in (("none", 5), ("convae", 15)):
        folder.save(made.record(defense, threat="whitebox"), made.outcome(np.arange(20) < right))
    return Report.of(folder).decisions


@pytest.mark.parametrize("gain", [-0.04, -1e-12, -0.0, 0.0, 0.04])
def test_a_gain_that_rounds_to_zero_is_no_loss(decisions: pd.DataFrame, gain: float) -> None:
    for name in (WORST_CASE_GAIN, GRAYBOX_GAIN, CLEAN_LOST):
        decisions[[name, f"{name}_low", f"{name}_high"]] = gain
    texts = [decision_table(decisions), brief_table(decisions, RunNames())]
    assert "0.0 [0.0, 0.0]" in texts[0].to_string()
    assert "+0.0 ±0.0" in texts[1].to_string()
    assert not any("-0.0" in text.to_string() for text in texts)


def test_a_loss_keeps_its_sign(decisions: pd.DataFrame) -> None:
    decisions[[WORST_CASE_GAIN, f"{WORST_CASE_GAIN}_low", f"{WORST_CASE_GAIN}_high"]] = -0.06
    assert "-0.1 ±0.0" in brief_table(decisions, RunNames()).to_string()
