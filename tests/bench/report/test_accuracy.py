"""Statistics over seeds, targets, marks in figures, and defenses trained for several attacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.analysis.verdict import Verdict
from bench.records.folder import RunFolder
from bench.report import Report, write_report
from bench.report.accuracy.figures import accuracy_figures
from bench.report.accuracy.tables import accuracy_table, seeds_table
from bench.report.cross_attack.figures import cross_attack_figures
from bench.report.cross_attack.frame import cross_attack_frame
from bench.report.cross_attack.tables import cross_attack_table, cross_attack_tables
from bench.report.naming import RunNames


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
        cells.append((3, trained(defense, attack, eps, attack="cascade", threat="adaptive")))
    cells.append((9, {"defense": "none"}))
    cells.append((9, trained("other", "fgsm", 0.3)))
    run = run_of(made, tmp_path, cells)
    report = write_report(run)
    labels = ["trained_for", "trained_eps", "attack", "eps"]
    found = report.cross_attack.set_index(labels)["robust_accuracy"].to_dict()
    assert found == {
        ("fgsm", 0.3, "fgsm", 0.1): 0.75,
        ("fgsm", 0.3, "pgd", 0.1): 0.25,
        ("fgsm", 0.3, "cascade", 0.1): 0.15,
        ("fgsm,pgd:steps=3", 0.2, "fgsm", 0.1): 0.6,
        ("fgsm,pgd:steps=3", 0.2, "pgd", 0.1): 0.55,
        ("fgsm,pgd:steps=3", 0.2, "cascade", 0.1): 0.15,
    }
    table = cross_attack_table(report.cross_attack)
    assert table["defense"].tolist() == [convae, mixture]
    assert table["trained for"].tolist() == ["fgsm @ 0.3", "fgsm,pgd @ 0.2"]
    assert table["pgd @ 0.1"].tolist() == ["0.250 [0.112, 0.469]", "0.550 [0.342, 0.742]"]
    assert table["cascade @ 0.1"].tolist() == 2 * ["0.150 [0.052, 0.360]"]
    (named,) = cross_attack_tables(report)
    assert set(named.title.rpartition("(")[2].rstrip(")").split(", ")) == {"graybox", "adaptive"}
    assert (run.path / "plots" / "cross_attack_digits_cnn_convae.png").stat().st_size > 1000
    assert not (run.path / "plots" / "cross_attack_digits_cnn_other.png").exists()


def test_a_doubtful_number_is_marked_in_the_matrix_and_its_map(made: Any) -> None:
    cells = [
        made.cell(right(12), **trained(f"convae:width={width}", attack, 0.3, attack=test))
        for width, attack in ((4, "fgsm"), (8, "pgd"))
        for test in ("fgsm", "pgd")
    ]
    levels = ("ok", "suspect", "invalid", "ok")
    found = {
        cell.record.key: Verdict(level)  # type: ignore[arg-type]
        for cell, level in zip(cells, levels, strict=True)
    }
    frame = cross_attack_frame(cells, found)
    assert frame["verdict"].tolist() == list(levels)
    table = cross_attack_table(frame)
    ends = table[["fgsm @ 0.1", "pgd @ 0.1"]].map(lambda text: text.rpartition("]")[2])
    assert ends.to_numpy().tolist() == [["", " ?"], [" !", ""]]
    report: Any = SimpleNamespace(cross_attack=frame, names=RunNames())
    (named,) = cross_attack_figures(report)
    texts = [text.get_text() for text in named.figure.axes[0].texts]
    assert texts[::2] == ["0.60", "0.60 ?", "0.60 !", "0.60"]
    assert set(texts[1::2]) == {"[0.39, 0.78]"}


def test_one_training_attack_is_no_matrix(made: Any, tmp_path: Path) -> None:
    cells = [(9, trained("convae", "fgsm", 0.3)), (9, trained("convae:width=4", "fgsm", 0.3))]
    assert Report.of(run_of(made, tmp_path, cells)).cross_attack.empty


def test_the_share_of_attacked_images_that_reach_the_target_has_a_column(
    made: Any, tmp_path: Path
) -> None:
    """Of four images three are attacked; the target is reached on two in the first draw."""
    run = RunFolder.create(tmp_path / "run", {})
    found = made.outcome([[1, 0, 0, 0], [1, 1, 0, 0]], [[1] * 4] * 2)
    reached = replace(
        found,
        target=np.array([1, 2, 3, 9]),  # the classes 1 to 4 are what a wrong image is taken for
        attacked=np.array([False, True, True, True]),
    )
    labels = {"n": 4, "stochastic": True}
    run.save(made.record(attack="pgd:target=next", **labels), reached)
    run.save(made.record(attack="fgsm", **labels), found)
    nothing = replace(reached, attacked=np.zeros(4, bool))
    run.save(made.record(attack="pgd:target=least", **labels), nothing)
    results = Report.of(run).results.set_index("attack")["target_reached"]
    assert results["pgd:target=next"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert results[["fgsm", "pgd:target=least"]].isna().all()
    shown = accuracy_table(Report.of(run).results).set_index("attack")["target reached"]
    assert shown.to_dict() == {"pgd:target=next": "0.5", "fgsm": "", "pgd:target=least": ""}


def test_without_a_target_there_is_no_column_for_people(made: Any, tmp_path: Path) -> None:
    results = Report.of(run_of(made, tmp_path, [(10, {})])).results
    assert results["target_reached"].isna().all()
    assert "target reached" not in accuracy_table(results)


def test_curves_are_dotted_to_doubtful_points_with_a_key(made: Any, tmp_path: Path) -> None:
    """A white-box attack that moves nothing is invalid: its curve is crossed out, not the best."""
    run = RunFolder.create(tmp_path / "run", {})
    for threat, counts in (("graybox", (15, 9)), ("whitebox", (12, 20))):
        for eps, count in zip((0.1, 0.3), counts, strict=True):
            still = threat == "whitebox" and eps == 0.3
            outcome = made.outcome(right(count), moved=0.0 if still else 0.1)
            run.save(made.record(threat=threat, eps=eps), outcome)
    figures = {named.name: named.figure for named in accuracy_figures(Report.of(run))}
    for name in ("accuracy_eps_digits_cnn_fgsm_whitebox", "threats_digits_cnn_fgsm"):
        figure = figures[name]
        (axes,) = figure.axes
        crosses = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "x"]
        assert [0.3, 1.0] in [point for points in crosses for point in points]
        (dotted,) = (line for line in axes.lines if line.get_linestyle() == ":")
        assert dotted.get_xdata()[:2].tolist() == [0.1, 0.3]
        assert "invalid (!)" in [text.get_text() for text in figure.legends[0].get_texts()]
    ok = figures["accuracy_eps_digits_cnn_fgsm_graybox"]
    assert not [line for line in ok.axes[0].lines if line.get_linestyle() == ":"]
    assert "invalid (!)" not in [text.get_text() for text in ok.legends[0].get_texts()]
