"""The table of uncertainties: what a run stores, and what the table makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.analysis.uncertainty import auroc, expected_calibration_error
from bench.records.folder import RunFolder
from bench.records.outcome import Outcome
from bench.report import write_tables


def test_a_run_stores_what_the_numbers_are_derived_from(
    bench: Callable[..., Any], tiny: Path
) -> None:
    dropout = "convae:bayes=dropout:draws=3"
    run = ("run", "--config", tiny, "--defenses", f"none,{dropout}", "--eps", "0.3", "--out", "out")
    done = bench(*run, "--n", "20", "--draws", "2")
    assert done.code == 0, done.err

    results = pd.read_csv("out/tables/results.csv").set_index("defense")
    folder = RunFolder.open(Path("out"))
    outcomes = {record.labels["defense"]: folder.outcome(record) for record in folder.records()}
    for defense, outcome in outcomes.items():
        assert outcome.clean_confidence is not None
        assert outcome.clean_confidence.shape == outcome.clean_defended.shape
        assert (outcome.clean_confidence >= 0.1).all()  # the largest of ten probabilities
        errors = [
            expected_calibration_error(confidence, predictions == outcome.labels)
            for confidence, predictions in zip(
                outcome.clean_confidence, outcome.clean_defended, strict=True
            )
        ]
        assert results["calibration_error"][defense] == pytest.approx(np.mean(errors))

    assert outcomes["none"].clean_extras == {}
    told = outcomes[dropout]
    scores = [
        auroc(clean[told.attacked], adversarial[told.attacked])
        for clean, adversarial in zip(
            told.clean_extras["disagreement"],
            told.adversarial_extras["disagreement"],
            strict=True,
        )
    ]
    assert len(scores) == 2
    assert results["auroc_extra_disagreement"][dropout] == pytest.approx(np.mean(scores))
    assert np.isnan(results["auroc_extra_disagreement"]["none"])

    table = pd.read_csv("out/tables/uncertainty.csv")
    assert table["defense"].tolist() == ["none", dropout]
    assert table["AUROC of disagreement"].notna().tolist() == [False, True]
    assert "Guo et al. 2017" in Path("out/tables/uncertainty.md").read_text()
    schema = pq.read_schema("out/tables/results.parquet")
    for column in ("calibration_error", "extra_disagreement", "auroc_extra_disagreement"):
        assert schema.field(column).type == pa.float64()


def with_confidences(outcome: Outcome) -> Outcome:
    confidence = np.full(outcome.clean_defended.shape, 0.9)
    return replace(outcome, clean_confidence=confidence, adversarial_confidence=confidence)


def test_cells_of_earlier_versions_have_no_row(made: Any, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    for eps, is_earlier in ((0.1, True), (0.2, False)):
        cell = made.cell(np.arange(20) < 7, defense="d", eps=eps)
        outcome = cell.outcome if is_earlier else with_confidences(cell.outcome)
        folder.save(cell.record, outcome)
    write_tables(folder)

    table = pd.read_csv(folder.path / "tables" / "uncertainty.csv")
    assert table["eps"].tolist() == [0.2]
    assert table["calibration error, clean"].tolist() == [0.1]
    assert table["calibration error, adversarial"].tolist() == [0.55]
    assert table["AUROC of low confidence"].tolist() == [0.5]


def test_a_run_of_an_earlier_version_has_no_table(made: Any, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    cell = made.cell(np.arange(20) < 7, defense="d")
    folder.save(cell.record, cell.outcome)
    write_tables(folder)
    assert not (folder.path / "tables" / "uncertainty.csv").exists()
