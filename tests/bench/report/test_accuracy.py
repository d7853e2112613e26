"""Statistics over seeds, and defenses trained for one attack and tested on another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.records.folder import RunFolder
from bench.report import Report, write_report
from bench.report.accuracy.tables import seeds_table
from bench.report.cross_attack.tables import cross_attack_table


def right(count: int) -> np.ndarray:
    return np.arange(20) < count


def run_of(made: Any, path: Path, cells: list[tuple[int, dict[str, Any]]]) -> RunFolder:
    folder = RunFolder.create(path / "run", {})
    for count, labels in cells:
        folder.save(made.record(**labels), made.outcome(right(count)))
    return folder


def test_seeds_give_mean_deviation_and_extremes(made: Any, tmp_path: Path) -> None:
    counts = [10, 12, 17]
    run = run_of(made, tmp_path, [(count, {"seed": seed}) for seed, count in enumerate(counts)])
    run.save(made.record(seed=3, status="failed", reason="no luck"), None)
    (row,) = Report.of(run).seeds.to_dict("records")
    assert row["seeds"] == 3
    shares = np.array(counts) / 20
    assert row["robust_accuracy_mean"] == pytest.approx(shares.mean())
    assert row["robust_accuracy_std"] == pytest.approx(shares.std(ddof=1))
    assert (row["robust_accuracy_min"], row["robust_accuracy_max"]) == (0.5, 0.85)
    assert (row["clean_accuracy_mean"], row["clean_accuracy_std"]) == (1.0, 0.0)
    write_report(run)
    assert pd.read_csv(run.path / "tables" / "seeds.csv")["seeds"].tolist() == [3]
    shown = seeds_table(Report.of(run).seeds)
    assert shown["robust accuracy, mean ± sd"].tolist() == ["0.650 ± 0.180"]
    assert shown["robust accuracy, range"].tolist() == ["0.500 to 0.850"]


def test_one_seed_has_no_table_of_seeds(made: Any, tmp_path: Path) -> None:
    run = run_of(made, tmp_path, [(10, {})])
    write_report(run)
    assert Report.of(run).seeds.empty
    assert not (run.path / "tables" / "seeds.csv").exists()


def trained(defense: str, trained_for: str, at: float, **labels: Any) -> dict[str, Any]:
    return {
        "defense": defense,
        "parameters": {"defense": {"attack": trained_for, "eps": at, "width": 8}},
        **labels,
    }


def test_training_attack_against_test_attack(made: Any, tmp_path: Path) -> None:
    convae, mixture = "convae", "convae:attack=[fgsm,pgd:steps=3]:eps=0.2"
    cells = []
    for defense, attack, eps, counts in (
        (convae, "fgsm", 0.3, (15, 5)),
        (mixture, "fgsm,pgd:steps=3", 0.2, (12, 11)),
    ):
        for test, count in zip(("fgsm", "pgd"), counts, strict=True):
            cells.append((count, trained(defense, attack, eps, attack=test)))
            cells.append((0, trained(defense, attack, eps, attack=test, threat="whitebox")))
    cells.append((9, {"defense": "none"}))
    cells.append((9, trained("other", "fgsm", 0.3)))
    run = run_of(made, tmp_path, cells)
    report = write_report(run)
    labels = ["trained_for", "trained_eps", "attack", "eps"]
    found = report.cross_attack.set_index(labels)["robust_accuracy"].to_dict()
    assert found == {
        ("fgsm", 0.3, "fgsm", 0.1): 0.75,
        ("fgsm", 0.3, "pgd", 0.1): 0.25,
        ("fgsm,pgd:steps=3", 0.2, "fgsm", 0.1): 0.6,
        ("fgsm,pgd:steps=3", 0.2, "pgd", 0.1): 0.55,
    }
    table = cross_attack_table(report.cross_attack)
    assert table["defense"].tolist() == [convae, mixture]
    assert table["trained for"].tolist() == ["fgsm @ 0.3", "fgsm,pgd:steps=3 @ 0.2"]
    assert table["pgd @ 0.1"].tolist() == ["0.250 [0.112, 0.469]", "0.550 [0.342, 0.742]"]
    assert (run.path / "plots" / "cross_attack_digits_cnn_convae.png").stat().st_size > 1000
    assert not (run.path / "plots" / "cross_attack_digits_cnn_other.png").exists()


def test_one_training_attack_is_no_matrix(made: Any, tmp_path: Path) -> None:
    cells = [(9, trained("convae", "fgsm", 0.3)), (9, trained("convae:width=4", "fgsm", 0.3))]
    assert Report.of(run_of(made, tmp_path, cells)).cross_attack.empty
