"""`bench compare` on hand-made runs, the gate `--strict`, and what `--eps` may say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.outcomes import evaluated_cells
from bench.records.folder import RunFolder
from bench.report.comparison import Comparison

N = 50


def right(count: int, n: int = N) -> np.ndarray:
    return np.arange(n) < count


def save(
    made: Any, folder: RunFolder, robust: Any, clean: Any = None, moved: float = 0.1, **labels: Any
) -> None:
    outcome = made.outcome(robust, clean, moved=moved)
    folder.save(made.record(**{"n": len(outcome.labels), **labels}), outcome)


@pytest.fixture
def runs(made: Any, tmp_path: Path) -> tuple[RunFolder, RunFolder]:
    """Three defenses: `same`, `better` (20 images more, two new errors), and `worse`.

    The last loses 2 points of clean and 4 points of robust accuracy.
    """
    first, second = (RunFolder.create(tmp_path / name, {"x": name}) for name in "ab")
    for folder in (first, second):
        save(made, folder, right(40), defense="same")
    save(made, first, right(20), defense="better")
    save(made, second, np.r_[np.zeros(2), np.ones(38), np.zeros(10)], defense="better")
    save(made, first, right(40), right(50), defense="worse")
    save(made, second, right(38), right(49), defense="worse")
    return first, second


def rows(first: RunFolder, second: RunFolder) -> dict[str, Any]:
    return Comparison.of(first, second).frame.set_index("defense").to_dict("index")


def test_cells_are_paired_image_by_image(runs: tuple[RunFolder, RunFolder]) -> None:
    found = rows(*runs)
    better, worse = found["better"], found["worse"]
    assert (
        better["robust_accuracy_a"],
        better["robust_accuracy_b"],
        better["robust_accuracy_points"],
    ) == pytest.approx((0.4, 0.76, 36))
    assert (better["a_only"], better["b_only"]) == (2, 20)
    p = 2 * (1 + 22 + 231) / 2**22
    assert better["p"] == pytest.approx(p)
    assert better["p_holm"] == pytest.approx(3 * p)
    assert (better["mark"], worse["mark"], found["same"]["mark"]) == ("better", "", "")
    assert (worse["clean_accuracy_points"], worse["robust_accuracy_points"]) == pytest.approx(
        (-2, -4)
    )
    assert (worse["p"], worse["p_holm"]) == (0.5, 1.0)
    assert rows(*reversed(runs))["better"]["mark"] == "worse"


def test_a_stochastic_cell_is_paired_on_the_shares_of_its_draws(made: Any, tmp_path: Path) -> None:
    first, second = (RunFolder.create(tmp_path / name, {}) for name in "ab")
    save(made, first, [right(30), right(20)], stochastic=True)
    save(made, second, [right(30), right(30)], stochastic=True)
    (row,) = rows(first, second).values()
    assert (row["robust_accuracy_a"], row["robust_accuracy_b"]) == (0.5, 0.6)
    assert (row["a_only"], row["b_only"], row["p"]) == (0, 10, pytest.approx(2 / 2**10))


def test_the_command_shows_a_table_and_passes(bench, runs: tuple[RunFolder, RunFolder]) -> None:  # type: ignore[no-untyped-def]
    done = bench("compare", "a", "b")
    assert (done.code, done.err) == (0, "")
    for word in ("A: a, B: b", "better", "+36.0", "-4.0", "dataset digits"):
        assert word in done.out


@pytest.mark.parametrize(
    ("points", "code", "lines"),
    [("4", 0, 0), ("3.9", 1, 1), ("2", 1, 1), ("1.9", 1, 2), ("0", 1, 2)],
)
def test_the_gate_fails_below_so_many_points(  # type: ignore[no-untyped-def]
    bench, runs: tuple[RunFolder, RunFolder], points: str, code: int, lines: int
) -> None:
    done = bench("compare", "a", "b", "--fail-below", points)
    assert done.code == code
    assert done.err.count("worse in B: digits cnn worse") == lines
    assert ("robust accuracy from 0.800 to 0.760 (-4.0 points)" in done.err) == (lines > 0)
    assert ("clean accuracy from 1.000 to 0.980 (-2.0 points)" in done.err) == (lines > 1)


def test_a_cell_that_fails_in_b_alone_is_a_regression(bench, made: Any, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    first, second = (RunFolder.create(tmp_path / name, {"x": name}) for name in "ab")
    save(made, first, right(40))
    second.save(made.record(n=N, status="failed", reason="no luck"), None)
    for folder in (first, second):
        folder.save(made.record(n=N, defense="never", status="failed", reason="no luck"), None)
        folder.save(
            made.record(n=N, defense="senseless", status="skipped", reason="no sense"), None
        )
    assert bench("compare", "a", "b").code == 0
    done = bench("compare", "a", "b", "--fail-below", "100")
    assert done.code == 1
    assert "failed in B" in done.out
    assert "failed in both" in done.out
    assert "senseless" not in done.out
    assert "worse in B: digits cnn d fgsm eps 0.1 graybox seed 0: failed" in done.err
    assert bench("compare", "b", "a", "--fail-below", "0").code == 0


def test_what_only_one_run_has_and_what_has_changed_is_reported(
    bench, made: Any, runs: Any
) -> None:  # type: ignore[no-untyped-def]
    first, second = runs
    for threat in ("graybox", "whitebox"):
        save(made, second, right(1), defense="new", threat=threat)
    save(made, first, right(1), defense="same", attack="pgd")
    for folder, width in ((first, 4), (second, 8)):
        save(made, folder, right(1), defense="convae", parameters={"defense": {"width": width}})
    done = bench("compare", "a", "b")
    assert "1 cell only in A: attack pgd" in done.out
    assert "2 cells only in B: defense new, threat whitebox" in done.out
    assert "the same specs, with other parameters: defense convae" in done.out


def test_a_narrow_terminal_keeps_the_difference_and_its_mark(  # type: ignore[no-untyped-def]
    bench, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = "defensegan:restarts=4:steps=20:momentum=0.5"
    for name, count in (("a", 40), ("b", 10)):
        folder = RunFolder.create(tmp_path / name, {"x": name})
        save(made, folder, right(count), defense=spec, threat="whitebox")
        save(made, folder, right(count), defense="gaussian_noise", threat="whitebox")
    monkeypatch.setenv("COLUMNS", "80")
    done = bench("compare", "a", "b")
    lines = done.out.splitlines()
    row = next(line for line in lines if "│ defensegan " in line)
    assert "-60.0" in row
    assert "worse" in row
    assert f"defensegan: {spec}" in lines
    assert max(map(len, lines)) <= 80


def test_runs_that_cannot_be_paired_are_refused(bench, made: Any, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    def run(name: str, n: int = N, **labels: Any) -> RunFolder:
        folder = RunFolder.create(tmp_path / name, {"x": name})
        save(made, folder, right(10, n), **labels)
        return folder

    run("a")
    refused = {
        "images": (
            run("images", data="others"),
            "different test images of digits (50, but not the same)",
        ),
        "fewer": (run("fewer", n=40, data="fewer"), "different test images of digits (50 and 40)"),
        "epsilons": (run("epsilons", eps=0.2), "different epsilons of attack 'fgsm': 0.1 and 0.2"),
        "data": (
            run("data", dataset="mnist", data="mnist", n=40),
            "the runs have different data sets: digits and mnist",
        ),
        "apart": (run("apart", defense="other"), "a and apart have no cells in common"),
        "nowhere": (None, "nowhere is not a run's folder"),
    }
    for name, (_, message) in refused.items():
        done = bench("compare", "a", name)
        assert done.code == 2, name
        assert message in done.err
        assert len(done.err.strip().splitlines()) == 1
        assert done.out == ""
    assert bench("compare", "a", "a", "--fail-below", "-1").code == 2
    assert bench("compare", "a", "a", "--fail-below", "nan").code == 2
    assert bench("compare", "a", "a", "--fail-below", "0").code == 0


def test_strict_makes_an_invalid_cell_a_failure(bench, made: Any, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = RunFolder.create(tmp_path / "out", {})
    save(made, folder, right(10))
    assert bench("report", "out", "--strict").code == 0
    save(made, folder, right(10), moved=0.0, defense="still")
    assert bench("report", "out").code == 0
    done = bench("report", "out", "--strict")
    assert done.code == 1
    assert "1 of 2 cells are invalid (--strict)" in done.err


def test_a_strict_run_is_one_too(bench, tiny: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The recorded outcome is replaced by one in which nothing moved.

    The second run derives its verdict from it.
    """
    command = (
        "run",
        "--config",
        tiny,
        "--defenses",
        "none",
        "--eps",
        "0.1",
        "--out",
        "out",
        "--strict",
    )
    assert bench(*command).code == 0
    folder = RunFolder.open(tmp_path / "out")
    (cell,) = evaluated_cells(folder)
    folder.save(cell.record, replace(cell.outcome, linf=np.zeros(cell.record.n, np.float32)))
    done = bench(*command)
    assert done.code == 1
    assert "1 of 1 cells are invalid (--strict)" in done.err


@pytest.mark.parametrize(
    ("theirs", "changed"),
    [
        ({"attack": "pgd:targeted=false:steps=3", "pool": None, "twice": False}, ()),
        ({"attack": "pgd:steps=3:targeted=false"}, ()),
        ({"attack": "pgd:steps=4:targeted=false"}, ("defense d",)),
        ({"attack": "pgd:steps=3:targeted=false", "pool": 5}, ("defense d",)),
        ({"attack": "pgd:steps=3:targeted=false", "twice": True}, ("defense d",)),
    ],
)
def test_only_other_values_are_other_parameters(
    made: Any, tmp_path: Path, theirs: dict[str, Any], changed: tuple[str, ...]
) -> None:
    """Two versions may write the parameters of a spec in another order, or an option not taken."""
    ours = {"attack": "pgd:steps=3:targeted=false", "pool": None}
    first, second = (RunFolder.create(tmp_path / name, {"x": name}) for name in "ab")
    for folder, parameters in ((first, ours), (second, theirs)):
        save(made, folder, right(40), parameters={"defense": parameters})

    assert Comparison.of(first, second).changed == changed
