"""A paper's table: its numbers, what is bold, and what it says of a label that it lacks."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.errors import RequestError
from bench.records.folder import RunFolder
from bench.records.pipeline import Pipeline
from bench.records.timing import Samples, TimedCall, Timing
from bench.report import Report
from bench.report.paper_table.pivot import Pivot, TableRequest
from bench.report.paper_table.texts import PaperTable

N = 100
SPEC = "convae:eps=0.3"
RIGHT = {
    ("none", "fgsm"): (40, 10),
    (SPEC, "fgsm"): (90, 80),
    ("median", "fgsm"): (88, 30),
    ("none", "pgd"): (35, 0),
    (SPEC, "pgd"): (85, 5),
    ("median", "pgd"): (60, 20),
}
"""Number of images that are right at both epsilons, all under an attack that sees the defense."""


@pytest.fixture(scope="module")
def run(made: Any, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    names = ["none", SPEC, "median"]
    folder = RunFolder.create(tmp_path_factory.mktemp("paper") / "run", {"defenses": names})
    for (defense, attack), counts in RIGHT.items():
        for eps, count in zip((0.1, 0.3), counts, strict=True):
            record = made.record(defense, attack, eps, threat="whitebox", n=N)
            folder.save(record, made.outcome(np.arange(N) < count))
    for defense, milliseconds in zip(names, (1.0, 4.0, 2.0), strict=True):
        call = TimedCall(
            Pipeline("digits", "cnn", defense), "pipeline", 1, "eager", "float32", "cpu", 0
        )
        seconds = tuple(milliseconds * (1 + i / 100) / 1e3 for i in range(11))
        folder.save_timing(Timing(call, "ok", samples=Samples(seconds, (), 3, True, None, None)))
    return folder


def table_of(
    run: RunFolder,
    value: str,
    rows: str = "defense",
    columns: str = "",
    where: dict[str, str] | None = None,
    intervals: str = "none",
    aliases: dict[str, str] | None = None,
) -> PaperTable:
    report = Report.of(run, aliases)
    request = TableRequest(
        tuple(rows.split(",")), tuple(filter(None, columns.split(","))), value, where or {}
    )
    return PaperTable(Pivot.of(report, request), report.names, intervals)


def cells(table: PaperTable) -> list[list[str]]:
    """The rows of the Markdown table, bold ones with their stars."""
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_a_number_stands_at_its_row_and_column(run: RunFolder) -> None:
    table = table_of(run, "robust", columns="attack,eps")
    found = [[float(cell.strip("*")) for cell in row[1:]] for row in cells(table)]
    assert found == [
        [float(count) for attack in ("fgsm", "pgd") for count in RIGHT[defense, attack]]
        for defense in ("none", SPEC, "median")
    ]
    assert "digits, cnn" in table.markdown().splitlines()[0]  # what all numbers share


def test_a_worst_case_takes_all_attacks_together_unless_they_are_a_label(run: RunFolder) -> None:
    together = cells(table_of(run, "worst_case", where={"eps": "0.1"}))
    assert [float(row[1].strip("*")) for row in together] == [35.0, 85.0, 60.0]
    apart = cells(table_of(run, "worst_case", columns="attack", where={"eps": "0.1"}))
    assert [[float(cell.strip("*")) for cell in row[1:]] for row in apart] == [
        [40.0, 35.0],
        [90.0, 85.0],
        [88.0, 60.0],
    ]


def test_the_best_is_bold_with_those_that_a_paired_test_does_not_tell_apart(run: RunFolder) -> None:
    rows = cells(table_of(run, "worst_case", columns="attack", where={"eps": "0.1"}))
    assert [[cell.startswith("**") for cell in row[1:]] for row in rows] == [
        [False, False],
        [True, True],
        [True, False],  # 88 of 100 images where the best has 90: two discordant images
    ]
    latency = cells(table_of(run, "latency"))
    assert [row[1] for row in latency] == ["1.05", "4.2", "**2.1**"]  # none adds nothing


def test_intervals_stand_as_the_half_or_both_ends(run: RunFolder) -> None:
    def first(intervals: str) -> str:
        return cells(table_of(run, "robust", "defense,attack", "eps", intervals=intervals))[0][2]

    assert first("ends") == "40.0 [30.9, 49.8]"  # Wilson's interval of 40 in 100
    assert first("plus-minus") == "40.0 ±9.4"
    assert first("none") == "40.0"


def test_an_alias_stands_in_all_formats_but_csv(run: RunFolder) -> None:
    table = table_of(run, "latency", aliases={SPEC: "ConvAE & more"})
    assert r"ConvAE \& more" in table.latex()
    assert f"ConvAE & more: {SPEC}" in table.markdown()
    frame = pd.read_csv(io.StringIO(table.csv()))
    assert frame["defense"].tolist() == ["none", SPEC, "median"]
    assert frame["value"].tolist() == pytest.approx([1.05, 4.2, 2.1])
    assert frame["best"].tolist() == [False, False, True]


def test_clean_accuracies_of_several_data_sets_are_not_averaged(made: Any, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {"defenses": ["none"]})
    for dataset, clean in (("digits", 90), ("mnist", 40)):
        for attack in ("fgsm", "pgd"):
            record = made.record("none", attack, dataset=dataset, n=N)
            folder.save(record, made.outcome(np.arange(N) < 9, np.arange(N) < clean))

    with pytest.raises(RequestError, match=r"dataset has several values \(digits, mnist\)"):
        table_of(folder, "clean")
    assert [row[1:] for row in cells(table_of(folder, "clean", columns="dataset"))] == [
        ["**90.0**", "**40.0**"]
    ]


def test_a_seed_weighs_the_same_under_however_many_attacks(made: Any, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {"defenses": ["none"]})
    for seed, attack, clean in ((0, "fgsm", 90), (0, "pgd", 90), (1, "fgsm", 60)):
        record = made.record("none", attack, seed=seed, n=N)
        folder.save(record, made.outcome(np.arange(N) < 9, np.arange(N) < clean))

    assert cells(table_of(folder, "clean"))[0][1] == "**75.0**"


def test_a_mark_is_that_of_the_whole_run_where_attackers_are_apart(
    made: Any, tmp_path: Path
) -> None:
    """An attack of many steps that is weaker than one of a single step is suspect in any table."""
    folder = RunFolder.create(tmp_path / "run", {"defenses": ["none", "median"]})
    for defense in ("none", "median"):
        for attack, steps, right in (("fgsm", None, 10), ("pgd", 40, 80)):
            images = np.arange(N) < right
            record = made.record(defense, attack, steps=steps, n=N)
            folder.save(record, made.outcome(images, undefended=images))

    results = Report.of(folder).results.set_index(["defense", "attack"])
    assert results.loc[("median", "pgd"), "verdict"] == "suspect"
    for value in ("robust", "graybox", "worst_case"):
        rows = cells(table_of(folder, value, columns="attack"))
        assert [row[2] for row in rows] == ["80.0 ?", "80.0 ?"]


def test_groups_of_columns_have_a_heading_with_a_rule(run: RunFolder) -> None:
    latex = table_of(run, "robust", columns="attack,eps").latex()
    assert r"\multicolumn{2}{c}{fgsm} & \multicolumn{2}{c}{pgd}" in latex
    assert r"\cmidrule(lr){2-3}\cmidrule(lr){4-5}" in latex
    assert r"\textbf{90.0}" in latex


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": "robst"}, "unknown value 'robst' .*did you mean 'robust'"),
        ({"value": "robust", "rows": "defens"}, "unknown label 'defens' .*did you mean 'defense'"),
        ({"value": "latency", "columns": "eps"}, "the value latency has no label eps"),
        ({"value": "robust", "columns": "defense"}, "label defense is named twice"),
        ({"value": "robust", "columns": "eps"}, r"attack has several values \(fgsm, pgd\)"),
        ({"value": "robust", "where": {"attack": "pdg"}}, "unknown attack 'pdg'.*'pgd'"),
        ({"value": "graybox", "columns": "eps"}, "the run has no graybox value"),
    ],
)
def test_a_wrong_request_names_what_is_wrong(
    changes: dict[str, Any], message: str, run: RunFolder
) -> None:
    with pytest.raises(RequestError, match=message):
        table_of(run, **changes)


def test_the_command_writes_all_formats_and_splits_an_alias_at_its_last_equals_sign(
    run: RunFolder, tmp_path: Path, bench: Any
) -> None:
    arguments = ("table", run.path, "--value", "latency", "--out", tmp_path / "out")
    done = bench(*arguments, "--alias", f"{SPEC}=ConvAE")
    assert (done.code, "ConvAE" in done.out) == (0, True), done.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"table_latency_defense.{end}" for end in ("tex", "md", "csv")
    }
    for option, wrong in (
        ("--alias", "convae=X"),
        ("--alias", "convae"),
        ("--format", "latx"),
        ("--intervals", "both"),
        ("--where", "attack"),
    ):
        done = bench(*arguments, option, wrong)
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
