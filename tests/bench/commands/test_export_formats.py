"""`bench export --format NAME`: requests, folders and links."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.commands.export import WEIGHTS
from bench.records.folder import RunFolder
from bench.report.exports import formats

Bench = Callable[..., Any]
TEXT_FORMATS = ("robustbench", "model-index")
"""Formats that need no further package."""


@pytest.fixture
def run(made: Any, tmp_path: Path) -> Path:
    folder = RunFolder.create(tmp_path / "run", {})
    cell = made.cell(np.arange(20) < 7, defense="none")
    folder.save(cell.record, cell.outcome)
    return folder.path


def below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", TEXT_FORMATS)
def test_an_export_says_what_it_wrote_and_leaves_the_run_as_it_is(
    form: str, run: Path, bench: Bench
) -> None:
    before = below(run)
    for _ in range(2):  # an earlier export in the same format is written again
        done = bench("export", run, "out", "--format", form)
        assert (done.code, done.out, done.err.count("\n")) == (0, "", 1)
        assert done.err.startswith("exported to out: ")
    assert json.loads(Path("out/export.json").read_text()) == {"format": form, "version": 1}
    assert below(run) == before


def test_the_help_names_every_format(bench: Bench) -> None:
    text = " ".join(bench("export", "--help").out.split())
    assert all(form in text for form in (WEIGHTS, *formats()))


@pytest.mark.parametrize(("form", "near"), [("robustbensh", "robustbench"), ("weigths", "weights")])
def test_an_unknown_format_lists_the_others_and_the_nearest(
    form: str, near: str, run: Path, bench: Bench
) -> None:
    done = bench("export", run, "out", "--format", form)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert all(name in done.err for name in formats())
    assert f"did you mean '{near}'?" in done.err
    assert not Path("out").exists()


@pytest.mark.parametrize("form", [*TEXT_FORMATS, "mlflow", "wandb"])
@pytest.mark.parametrize(
    "option", [("--cache", "cache"), ("--weights", "weights"), ("--pretrained",)]
)
def test_an_option_about_networks_is_refused(
    option: tuple[str, ...], form: str, run: Path, bench: Bench
) -> None:
    done = bench("export", run, "out", "--format", form, *option)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert option[0] in done.err
    assert not Path("out").exists()


@pytest.mark.parametrize("form", TEXT_FORMATS)
@pytest.mark.parametrize("content", ["something else", "another format", "damaged"])
def test_a_folder_of_something_else_is_refused(
    content: str, form: str, run: Path, bench: Bench
) -> None:
    folder = Path("out")
    folder.mkdir()
    if content == "something else":
        (folder / "file").write_text("mine")
    else:
        text = '{"format": "another", "version": 1}' if content == "another format" else "{}"
        (folder / "export.json").write_text(text)
    before = below(folder)
    done = bench("export", run, folder, "--format", form)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert below(folder) == before


def test_results_do_not_go_into_a_folder_of_weights_nor_the_other_way(
    run: Path, bench: Bench
) -> None:
    assert bench("export", run, "out", "--format", "robustbench").code == 0
    done = bench("export", run, "out")
    assert (done.code, "no folder of weights" in done.err) == (2, True)


@pytest.mark.parametrize("form", TEXT_FORMATS)
def test_nothing_is_written_through_a_link(
    form: str, run: Path, bench: Bench, tmp_path: Path
) -> None:
    assert bench("export", run, "out", "--format", form).code == 0
    for path in [*Path("out").iterdir()]:
        elsewhere = tmp_path / f"elsewhere-{path.name}"
        shutil.move(path, elsewhere)
        path.symlink_to(elsewhere)
        before = below(tmp_path)
        done = bench("export", run, "out", "--format", form)
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert f"{path} is a link" in done.err
        assert below(tmp_path) == before
        path.unlink()
        shutil.move(elsewhere, path)


@pytest.mark.parametrize("form", TEXT_FORMATS)
def test_a_run_without_a_number_that_counts_is_refused(
    form: str, made: Any, bench: Bench, tmp_path: Path
) -> None:
    folder = RunFolder.create(tmp_path / "void", {})
    folder.save(made.record(status="failed", reason="no luck"), None)
    unmoved = made.cell(np.arange(20) < 7, defense="unmoved", moved=0.0)
    folder.save(unmoved.record, unmoved.outcome)
    done = bench("export", folder.path, "out", "--format", form)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "no accuracy whose verdict is ok or suspect" in done.err
    assert not Path("out").exists()


def test_a_name_that_a_stranger_chose_stays_in_the_folder(
    made: Any, bench: Bench, tmp_path: Path
) -> None:
    folder = RunFolder.create(tmp_path / "foreign", {})
    for value in ("../../up", "<img src=x>", "=1+1 ${x} `y`", "a\u2028b"):
        cell = made.cell(np.arange(20) < 7, defense=f"d:std=[{value}]")
        folder.save(cell.record, cell.outcome)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    for form in TEXT_FORMATS:
        done = bench("export", folder.path, form, "--format", form)
        assert done.code == 0, done.err
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert all(path.relative_to(tmp_path).parts[0] in TEXT_FORMATS for path in written)
    assert len(list(Path("robustbench").glob("digits/Linf/*.json"))) == 4
    assert len(Path("model-index/model-index.yaml").read_text().splitlines()) > 4
