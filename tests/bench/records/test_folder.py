"""The folder of a run: its images, one record of each cell, and environments by digest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.outcomes import evaluated_cells
from bench.errors import RequestError
from bench.records import folder as folder_module
from bench.records.folder import RunFolder
from bench.report import write_report


@pytest.fixture
def run(made: Any, tmp_path: Path) -> Path:
    """Two defenses under one adversarial set, and a third under another."""
    folder = RunFolder.create(tmp_path / "run", {"defenses": ["a", "b", "c"]})
    for defense, adversarial_set in (("a", "1" * 64), ("b", "1" * 64), ("c", "2" * 64)):
        record = made.record(defense, adversarial_set=adversarial_set)
        folder.save(record, made.outcome(np.ones(20)), made.images())
    return folder.path


def test_an_adversarial_set_is_stored_once(run: Path, made: Any) -> None:
    assert len(list((run / "images").glob("*.safetensors"))) == 2 + 3

    for cell in evaluated_cells(RunFolder.open(run)):
        images = cell.images
        assert images is not None
        np.testing.assert_array_equal(images.adversarial, made.images().adversarial)
        np.testing.assert_array_equal(images.purified, made.images().purified)


@pytest.mark.parametrize("damage", ["removed", "truncated", "changed"])
def test_a_report_leaves_out_the_pictures_of_lost_images(
    run: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_report(RunFolder.open(run))
    tables = {path.name: path.read_bytes() for path in (run / "tables").iterdir()}
    assert list((run / "plots").glob("images_*.png"))
    for path in (run / "plots").iterdir():
        path.unlink()

    for path in (run / "images").glob("*.safetensors"):
        content = path.read_bytes()
        path.write_bytes(
            content[: len(content) // 2]
            if damage == "truncated"
            else content[:-1] + bytes([content[-1] ^ 1])
        )
        if damage == "removed":
            path.unlink()
    write_report(RunFolder.open(run))

    assert {path.name: path.read_bytes() for path in (run / "tables").iterdir()} == tables
    assert not list((run / "plots").glob("images_*.png"))
    assert ("damaged images" in caplog.text) == (damage != "removed")


def test_images_that_lack_their_counterpart_are_reported(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder.open(run)
    record = folder.records()[0]
    lost = run / "images" / f"{record.key[:16]}.safetensors"
    lost.unlink()
    assert folder.images(record) is None
    assert f"{lost} is missing" in caplog.text


def test_damaged_images_are_made_again_with_their_cells(run: Path, made: Any) -> None:
    shared = run / "images" / f"{'1' * 16}.safetensors"
    shared.write_bytes(b"")
    folder = RunFolder.create(run, {"defenses": ["a", "b", "c"]})
    assert [record.labels["defense"] for record in folder.records()] == ["c"]

    folder.save(made.record("a", adversarial_set="1" * 64), made.outcome([1] * 20), made.images())
    assert folder.images(folder.records()[0]) is not None
    assert RunFolder.open(run).images(folder.records()[0]) is not None


def test_a_file_that_cannot_be_read_is_not_taken_for_damaged(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: Path, **_: bool) -> None:
        raise PermissionError(13, "Permission denied")

    before = sorted(run.rglob("*"))
    monkeypatch.setattr(folder_module, "read_record", failing)
    with pytest.raises(RequestError, match=r"json cannot be read: Permission denied"):
        RunFolder.create(run, {"defenses": ["a", "b", "c"]})
    assert sorted(run.rglob("*")) == before


def test_two_records_of_one_cell_are_refused(run: Path, made: Any, tmp_path: Path) -> None:
    other = RunFolder.create(tmp_path / "other", {"defenses": ["a"]})
    record = replace(made.record("a"), key="0" * 64)
    other.save(record, made.outcome(np.ones(20)))
    for path in (other.path / "cells").iterdir():
        shutil.copy(path, run / "cells")

    for read in (
        lambda: RunFolder.open(run).records(),
        lambda: RunFolder.create(run, {"defenses": ["a", "b", "c"]}),
    ):
        with pytest.raises(RequestError, match=r"0{16}\.json and .*json are records of the same"):
            read()


def test_a_cell_that_was_computed_from_something_else_is_refused(run: Path, made: Any) -> None:
    folder = RunFolder.open(run)
    cells = {record.key: record.labels for record in folder.records()}
    folder.check_cells(cells)
    folder.check_cells({**cells, "0" * 64: made.record("new").labels})
    with pytest.raises(RequestError, match="computed from other data or by another version"):
        folder.check_cells({"0" * 64: made.record("a").labels})


@pytest.mark.parametrize("change", [{"defense": "x" * 10_001}, {"seed": 2**70}, {"dataset": "a b"}])
def test_labels_that_could_not_be_read_back_are_refused(
    run: Path, made: Any, change: dict[str, Any]
) -> None:
    with pytest.raises(RequestError, match=f"cannot be recorded: {next(iter(change))}"):
        RunFolder.open(run).check_cells({"0" * 64: {**made.record("a").labels, **change}})


def test_a_damaged_environment_of_this_machine_is_written_again(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder.open(run)
    here, elsewhere = {"device": {"name": "here"}}, {"device": {"name": "elsewhere"}}
    names = [folder.save_environment(environment) for environment in (here, elsewhere)]
    for name in names:
        path = run / "environments" / f"{name}.json"
        path.write_text(path.read_text().replace("here", "hare"))
    assert folder.machines() == {}
    assert caplog.text.count("damaged environment") == 2

    assert folder.save_environment(here) == names[0]
    assert folder.machines() == {names[0]: "here, PyTorch unknown"}


@pytest.mark.parametrize("name", ["cells", "latency", "images", "environments", "cells/link.json"])
def test_a_run_is_not_continued_through_a_link(run: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "elsewhere"
    if name == "cells/link.json":
        link = next((run / "cells").glob("*.json"))
        link.rename(target)
    else:
        link = run / name
        link.rename(target) if link.exists() else target.mkdir()
    link.symlink_to(target)

    with pytest.raises(RequestError, match=f"{link} is a link"):
        RunFolder.create(run, {"defenses": ["a", "b", "c"]})
    assert len(RunFolder.open(run).records()) == 3


@pytest.mark.parametrize(
    "odd",
    [
        lambda path: path.mkdir(),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text("{}"),
        lambda path: path.write_text(json.dumps({"schema": 1, "defenses": []})),
    ],
)
def test_something_else_than_a_configuration_is_refused(
    run: Path, odd: Callable[[Path], object]
) -> None:
    (run / "config.json").unlink()
    odd(run / "config.json")
    before = sorted(run.rglob("*"))
    for read in (lambda: RunFolder.open(run), lambda: RunFolder.create(run, {})):
        with pytest.raises(RequestError, match=r"config\.json is damaged|config\.json cannot be"):
            read()
    assert sorted(run.rglob("*")) == before


def test_the_configuration_is_compared_without_its_seal(run: Path) -> None:
    stored = json.loads((run / "config.json").read_text())
    assert set(stored) == {"defenses", "schema", "seal"}
    RunFolder.create(run, {"defenses": ["a", "b", "c"]})
    with pytest.raises(RequestError, match="of another configuration"):
        RunFolder.create(run, {"defenses": ["a", "b"]})


def test_a_record_of_no_cell_of_the_run_is_refused(run: Path, made: Any) -> None:
    """As after a stranger's edit of a label, or a file from another run."""
    folder = RunFolder.open(run)
    cells = {record.key: record.labels for record in folder.records()}
    first = next(iter(cells))
    others = {key: labels for key, labels in cells.items() if key != first}
    changed = {**cells, first: {**cells[first], "eps": 0.2}}
    for of_run in (others, changed):
        with pytest.raises(
            RequestError, match=f"{first[:16]}.json is the record of no cell of this"
        ):
            folder.check_cells(of_run)


def test_a_record_without_a_seal_is_refused_in_a_run_that_has_seals(run: Path) -> None:
    path = next((run / "cells").glob("*.json"))
    content = json.loads(path.read_text())
    del content["seal"]
    path.write_text(json.dumps({**content, "schema": 3}))
    with pytest.raises(RequestError, match=r"is damaged \(it has lost its seal"):
        RunFolder.open(run).records()


def test_the_order_of_the_values_of_an_axis_makes_no_other_run(tmp_path: Path) -> None:
    config = {"defenses": ["a", "b"], "seeds": [0, 1], "eps": [0.1, 1], "n": 1}
    RunFolder.create(tmp_path / "run", config)
    turned = {
        key: value[::-1] if isinstance(value, list) else value for key, value in config.items()
    }
    assert RunFolder.create(tmp_path / "run", turned).config() == config

    for other in ({"seeds": [0]}, {"seeds": [0, 1, 1]}, {"defenses": ["a", "c"]}, {"n": 2}):
        with pytest.raises(RequestError, match="another configuration"):
            RunFolder.create(tmp_path / "run", {**turned, **other})
