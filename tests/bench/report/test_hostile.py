"""Run folders of a stranger: what their labels make a report and a comparison do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.records.folder import RunFolder
from bench.records.pipeline import Pipeline
from bench.records.timing import Samples, TimedCall, Timing
from bench.report import write_report
from bench.report.contents import MOST_DEFENSES, for_figures
from bench.report.report import Report
from bench.text import visible

VALUES = {
    "a path": "../../../../escaped",
    "an absolute path": "/tmp/escaped",
    "a formula": "=1+1",
    "a tag": "<img src=x onerror=alert(1)>",
    "a new cell": "a | b | c",
    "a link": "!(x](https://example.org/x.png)",
    "code": "`rm -rf ~` $(touch escaped)",
    "math": r"$\frac{x} $x^2$ ",
    "LaTeX": r"\input{/etc/passwd} ^^M\write18{touch escaped}%",
    "markup of rich": "<bold red> :bomb: ",
    "3,000 characters": "m" * 3_000,
    "emoji": "漢字 😀 é",
}
"""Values of a parameter, which a spec may hold; brackets, colons and equals signs in brackets."""

CODES = "\x1b]0;title\x07\x1b[2J\u202eevil\rover\x00"
"""Codes that no file may hold; the reading may refuse them, else they are not shown."""


def spec(name: str, value: str) -> str:
    return f"{name}:std=[{value.replace('[', '(').replace(']', ')')}]"


def hostile_run(
    made: Any,
    path: Path,
    *values: str,
    eps: tuple[float, ...] = (0.1,),
    defenses: int = 1,
    dataset: str | None = None,
) -> Path:
    """A run with foreign values in its labels, its reason and the labels of its timings.

    Args:
        values: values of data set, attack, reason, and of as many defenses as there are values.
        eps: epsilons of the attack.
        defenses: number of defenses of each value.
        dataset: data set; None for one with the first value.
    """
    names = [spec(f"d{i}", value) for value in values for i in range(defenses)]
    folder = RunFolder.create(path, {"defenses": ["none", *names]})
    labels = {"dataset": dataset or spec("x", values[0]), "attack": spec("fgsm", values[-1])}
    for budget in eps:
        for index, defense in enumerate(["none", *names]):
            cell = made.cell(np.arange(20) < 5 + index, defense=defense, eps=budget, **labels)
            folder.save(cell.record, cell.outcome, made.images())
    failed = {"status": "failed", "reason": f"defense raised: {' '.join(values)}"}
    folder.save(made.record("broken", **labels, **failed), None)
    for size in (1, 8):
        for defense in ["none", *names]:
            pipeline = Pipeline(labels["dataset"], "cnn", defense)
            call = TimedCall(pipeline, "pipeline", size, "eager", "float32", "cpu", 0)
            samples = Samples((1e-3, 2e-3, 3e-3), (), 3, True, None, None)
            folder.save_timing(Timing(call, "ok", samples=samples))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that lies deep enough for `..` to stay below the test's own folder."""
    path = tmp_path / "a" / "b" / "c" / "d"
    path.mkdir(parents=True)
    return path


def outside(top: Path, *roots: Path) -> dict[Path, bytes]:
    """The files below a folder and outside the given ones."""
    return {
        path: path.read_bytes()
        for path in top.rglob("*")
        if path.is_file() and not any(path.is_relative_to(each) for each in roots)
    }


def written(run: Path) -> Iterator[tuple[Path, str]]:
    """The text files that a report wrote."""
    for name in ("tables", "plots"):
        for path in (run / name).iterdir():
            if path.suffix not in (".png", ".parquet"):
                yield path, path.read_bytes().decode()


@pytest.mark.parametrize("first", range(3))
def test_a_report_stays_in_its_folder_and_shows_what_it_finds(
    first: int, made: Any, root: Path, tmp_path: Path, bench: Callable[..., Any]
) -> None:
    values = list(VALUES.values())[first::3]
    run = hostile_run(made, root / "run", *values, eps=(0.1, 0.2, 0.3) if first == 0 else (0.1,))
    before = outside(tmp_path, run)
    done = bench("report", run)
    assert (done.code, "Traceback" in done.err) == (0, False), done.err
    assert outside(tmp_path, run) == before
    for path, text in [*written(run), (run, done.out), (run, done.err)]:
        assert visible(text) == text, path
    assert len(list((run / "plots").glob("*.png"))) >= 5
    results = pd.read_csv(run / "tables" / "results.csv")
    assert {spec("d0", value) for value in values} <= set(results["defense"])
    typed = pd.read_parquet(run / "tables" / "results.parquet")
    assert {spec("d0", value) for value in values} <= set(typed["defense"])


def test_codes_of_a_terminal_are_refused_or_not_shown(
    made: Any, root: Path, bench: Callable[..., Any]
) -> None:
    try:
        run = hostile_run(made, root / "run", CODES)
    except ValueError:  # such a label is not even written
        return
    done = bench("report", run)
    assert done.code in (0, 2)
    for text in (done.out, done.err, *(text for _, text in written(run) if done.code == 0)):
        assert visible(text) == text


def test_a_comparison_shows_hostile_labels_as_they_are(
    made: Any, root: Path, tmp_path: Path, bench: Callable[..., Any]
) -> None:
    value = "<img> `x` :bomb: $x$ ../.. =1"
    runs = [hostile_run(made, root / name, value, defenses=n) for name, n in (("a", 1), ("b", 2))]
    before = outside(tmp_path)
    done = bench("compare", *runs, "--fail-below", "5")
    assert (done.code, "Traceback" in done.err) == (0, False), done.err
    assert outside(tmp_path) == before
    assert visible(done.out) == done.out
    assert f"only in B: defense {spec('d1', value)}" in done.out


@pytest.mark.parametrize(
    "name", ["tables", "plots", "tables/results.csv", "tables/results.parquet", "plots/x.png"]
)
def test_nothing_is_written_through_a_link(
    name: str, made: Any, root: Path, bench: Callable[..., Any]
) -> None:
    run = hostile_run(made, root / "run", "plain")
    target = root / "target"
    target.mkdir()
    if name == "plots/x.png":
        assert bench("report", run).code == 0
        name = f"plots/{min(path.name for path in (run / 'plots').iterdir())}"
        (run / name).unlink()
    link = run / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target if "/" not in name else target / "file")
    done = bench("report", run)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert f"{link} is a link" in done.err
    assert not list(target.iterdir())


def test_a_comparison_with_published_figures_writes_through_no_link(
    made: Any, root: Path, bench: Callable[..., Any]
) -> None:
    run = hostile_run(made, root / "run", "plain", dataset="mnist")
    assert bench("report", run, "--no-plots").code == 0
    link = run / "tables" / "against_paper_accuracies.csv"
    link.symlink_to(root / "target")
    done = bench("report", run, "--against", "paper")
    assert (done.code, f"{link} is a link" in done.err) == (1, True)
    assert not (root / "target").exists()


def test_published_figures_of_any_file_name_stay_in_the_folder(
    made: Any, root: Path, tmp_path: Path, bench: Callable[..., Any]
) -> None:
    run = hostile_run(made, root / "run", "plain", dataset="mnist")
    source = Path(__file__).parents[3] / "results" / "published" / "paper.json"
    name = root / "..=x $(touch y) | <b>é.json"
    name.write_bytes(source.read_bytes())
    before = outside(tmp_path, run)
    done = bench("report", run, "--against", name)
    assert done.code == 0, done.err
    assert outside(tmp_path, run) == before
    assert list((run / "tables").glob("against_*table1a.md"))


def test_no_program_is_started(made: Any, root: Path, tmp_path: Path) -> None:
    run = hostile_run(made, root / "run", r"$\frac{x}")
    (root / "matplotlibrc").write_text("text.usetex: True\nbackend: nonsense\n")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("latex", "pdflatex", "luatex", "dvipng", "dvisvgm", "kpsewhich", "gs", "inkscape"):
        program = programs / name
        program.write_text(f"#!/bin/sh\necho {name} >> {tmp_path / 'started'}\n")
        program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    command = [sys.executable, "-P", "-m", "bench", "report", str(run)]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert not (tmp_path / "started").exists()


def test_a_run_of_many_defenses_is_reported_and_figures_show_the_first(
    made: Any, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder.create(root / "run", {})
    for index in range(MOST_DEFENSES + 15):
        cell = made.cell([1] * 5 + [0] * 6, defense=f"d{index:03}", threat="whitebox")
        folder.save(cell.record, cell.outcome, made.images())
    write_report(folder)
    assert len(pd.read_csv(root / "run" / "tables" / "results.csv")) == MOST_DEFENSES + 15
    assert f"the first {MOST_DEFENSES} defenses" in caplog.text
    shown = for_figures(Report.of(folder))
    assert shown.results["defense"].nunique() == MOST_DEFENSES
    assert {cell.record.labels["defense"] for cell in shown.cells} == set(shown.results["defense"])
