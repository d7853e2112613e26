"""A run to export: sound, doubtful and void numbers, two seeds, and latencies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.records.folder import RunFolder
from bench.records.pipeline import Pipeline
from bench.records.timing import Samples, TimedCall, Timing
from bench.report import Report
from bench.report.exports.pipelines import MeasuredPipeline, measured_pipelines

N = 40
SECRET = "npz:file=[/home/me/secret.npz]"
ENVIRONMENT = {"device": {"name": "some processor"}, "packages": {"torch": "2.9.0"}}


def first(count: int) -> np.ndarray:
    """The first so many images."""
    return np.arange(N) < count


def save_cells(folder: RunFolder, made: Any) -> None:
    """Cells of which the accuracies are known: so many of 40 images are right."""
    environment = folder.save_environment(ENVIRONMENT)

    def save(robust: int, moved: float = 0.1, **labels: Any) -> None:
        clean = first(38)
        parameters = {"classifier": {"width": 8}, "defense": {"steps": [1, 2]}}
        cell = made.cell(
            first(robust), clean, moved=moved, parameters=parameters, dataset=SECRET, **labels
        )
        folder.save(replace(cell.record, environment=environment), cell.outcome)

    seen = {"threat": "whitebox", "attack": "pgd:steps=10"}
    for seed in (0, 1):
        save(10, defense="none", seed=seed)
        save(30 - seed, defense="convae:width=8", seed=seed)
        save(20, defense="convae:width=8", seed=seed, **seen)
    save(36, defense="convae:width=8", attack="cw", norm="l2", eps=0.5)
    save(37, defense="unmoved", moved=0.0)
    folder.save(made.record("broken", dataset=SECRET, status="failed", reason="no luck"), None)
    call = TimedCall(Pipeline(SECRET, "cnn", "none"), "pipeline", 1, "eager", "float32", "cpu", 0)
    samples = Samples((0.002,) * 11, (), 3, True, None, None)
    folder.save_timing(Timing(call, "ok", samples=samples))


@pytest.fixture(scope="session")
def exported_run(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run."""
    folder = RunFolder.create(tmp_path_factory.mktemp("exports") / "my-run", {})
    save_cells(folder, made)
    return folder.path


@pytest.fixture(scope="session")
def measured(exported_run: Path) -> list[MeasuredPipeline]:
    """The pipelines of the run."""
    return measured_pipelines(Report.of(RunFolder.open(exported_run)))
