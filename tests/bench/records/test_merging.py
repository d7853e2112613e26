"""Merging of folders: which configurations and records belong together, and what is kept."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import RequestError, StorageError
from bench.records.folder import RunFolder
from bench.records.merging import merge as merging
from bench.records.merging.merge import Merge

IDENTITY = {"name": "x", "version": 1, "parameters": {}, "files": {}}
CONFIG = {
    "preset": "quick",
    "device": "cpu",
    "datasets": ["digits"],
    "classifiers": ["cnn"],
    "defenses": ["none"],
    "attacks": ["fgsm"],
    "threats": ["graybox"],
    "seeds": [0],
    "eps": [0.1],
    "attack_eps": {},
    "only": {},
    "n": 20,
    "batch_size": 10,
    "draws": 1,
    "convergence": 5,
    "parameters": {},
    "latency": {"batch_sizes": [1], "engines": ["eager"], "precisions": ["float32"], "rounds": 1},
}

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def make_run(made: Any, tmp_path: Path) -> MakeRun:
    """Makes a run by hand: its cells, and changes of its configuration."""

    def make(name: str, *cells: Any, **changes: Any) -> RunFolder:
        config = {**CONFIG, **changes}
        plugins = {
            family: {label: dict(IDENTITY, **changes.get(label, {})) for label in config[family]}
            for family in ("classifiers", "defenses", "attacks", "threats")
        }
        config = {key: value for key, value in config.items() if not isinstance(key, bool)}
        for family in plugins.values():
            for label in family:
                config.pop(label, None)
        run = RunFolder.create(tmp_path / name, {**config, "plugins": {"format": 2, **plugins}})
        for cell in cells:
            ok = cell.record.status == "ok"
            run.save(cell.record, cell.outcome if ok else None, cell.images if ok else None)
        return run

    return make


def cell(made: Any, robust: Any = None, **changes: Any) -> Any:
    """A cell; with a `reason`, one that has no outcome."""
    right = np.arange(20) % 3 > 0 if robust is None else robust
    record = {k: changes.pop(k) for k in ("status", "reason", "environment") if k in changes}
    found = made.cell(right, **changes)
    return replace(found, record=replace(found.record, **record)) if record else found


def written(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_runs_in_any_order_make_the_same_run(make_run: MakeRun, made: Any, tmp_path: Path) -> None:
    runs = [
        make_run("a", cell(made, defense="none"), eps=[0.1, 0.3]),
        make_run("b", cell(made, defense="median", seed=2), defenses=["median"], seeds=[2]),
        make_run(
            "c",
            cell(made, defense="none", attack="pgd", seed=1),
            attacks=["pgd", "fgsm"],
            seeds=[1],
            only={"none": {"datasets": None, "attacks": ["pgd"], "eps": None}},
        ),
    ]
    results = []
    for index, order in enumerate(itertools.permutations(runs)):
        out = tmp_path / f"merged-{index}"
        Merge.of([run.path for run in order], out).write()
        results.append(written(out))
    assert all(result == results[0] for result in results)

    config = RunFolder(tmp_path / "merged-0").config()
    assert config["defenses"] == ["median", "none"]
    assert config["attacks"] == ["pgd", "fgsm"]
    assert config["seeds"] == [0, 1, 2]
    assert (config["eps"], config["attack_eps"]) == ([0.1, 0.3], {"pgd": [0.1]})
    assert config["only"] == {}  # a and b have cells that c leaves out
    assert set(config["plugins"]["defenses"]) == {"none", "median"}

    Merge.of([runs[0].path, runs[1].path], tmp_path / "two").write()
    Merge.of([tmp_path / "two", runs[2].path], tmp_path / "two").write()
    assert RunFolder(tmp_path / "two").config()["seeds"] == [0, 1, 2]
    assert len(RunFolder(tmp_path / "two").records()) == 3


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"device": "cuda"}, 'device is "cpu" in the first and "cuda" in the second'),
        ({"n": 10}, "n is 20 in the first and 10 in the second"),
        ({"batch_size": 7}, "batch_size is 10"),
        ({"draws": 2}, "draws is 1"),
        ({"convergence": 3}, "convergence is 5"),
        ({"preset": "mnist"}, 'preset is "quick"'),
        ({"command": "latency"}, "command is not given in the first"),
        ({"weights": {"a": "1"}}, r"only the second was given trained networks \(--pretrained"),
        ({"none": {"version": 2}}, r"defense none is another one \(its version\)"),
        ({"fgsm": {"parameters": {"a": 1}}}, r"attack fgsm is another one \(its parameters\)"),
        ({"class_names": {"digits": ["a"]}}, "they have other class names of digits"),
        ({"latency": {**CONFIG["latency"], "rounds": 2}}, "latency.rounds is 1"),
    ],
)
def test_other_configurations_are_refused(
    make_run: MakeRun, tmp_path: Path, changes: dict[str, Any], difference: str
) -> None:
    first, second = make_run("a"), make_run("b", **changes)
    with pytest.raises(RequestError, match=f"a and .*b do not belong together: {difference}"):
        Merge.of([first.path, second.path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"robust": np.zeros(20, bool)}, "none fgsm 0.1 graybox 0 has two different results"),
        ({"key": "0" * 64}, "was computed from other data or by another version"),
        ({"data": "1" * 64}, "they have other test images of digits"),
        (
            {"networks": {"classifier": "2" * 64}},
            "they have other weights of classifier cnn trained on digits with seed 0",
        ),
    ],
)
def test_other_results_are_refused(
    make_run: MakeRun, made: Any, tmp_path: Path, changed: dict[str, Any], difference: str
) -> None:
    networks = {"classifier": "1" * 64}
    first = cell(made, defense="none")
    second = cell(made, changed.pop("robust", None), defense="none")
    first = replace(first, record=replace(first.record, networks=networks))
    second = replace(second, record=replace(second.record, **{"networks": networks, **changed}))
    runs = [make_run("a", first), make_run("b", second)]
    with pytest.raises(RequestError, match=difference):
        Merge.of([run.path for run in runs], tmp_path / "out")


def test_an_ok_cell_replaces_a_failure_and_keeps_its_environment(
    make_run: MakeRun, made: Any, tmp_path: Path
) -> None:
    failed = cell(made, defense="none", status="failed", reason="no memory")
    fine = cell(made, defense="none", environment="ffffffffffff")
    runs = [make_run("a", failed), make_run("b", fine)]
    (record,) = Merge.of([run.path for run in runs], runs[0].path).write().records()
    assert (record.status, record.environment) == ("ok", "ffffffffffff")


def test_identical_cells_of_two_machines_are_one(
    make_run: MakeRun, made: Any, tmp_path: Path
) -> None:
    cells = [cell(made, defense="none", environment=digit * 12) for digit in "ba"]
    runs = [make_run(name, each) for name, each in zip("ab", cells, strict=True)]
    for order in (runs, runs[::-1]):
        merge = Merge.of([run.path for run in order], tmp_path / "out")
        (record,) = merge.write().records()
        assert record.environment == "a" * 12


def test_of_two_timings_that_of_the_machine_with_most_is_kept(
    make_run: MakeRun, made: Any, tmp_path: Path
) -> None:
    runs = [make_run(name) for name in "ab"]
    runs[0].save_timing(made.timing(2.0, environment="a" * 12))
    for size in (1, 8):
        runs[1].save_timing(made.timing(1.0, batch_size=size, environment="b" * 12))
    for order in (runs, runs[::-1]):
        merge = Merge.of([run.path for run in order], tmp_path / "out")
        assert {timing.environment for timing in merge.write().timings()} == {"b" * 12}
        assert merge.timings.left_out == 1


def test_a_damaged_or_foreign_folder_is_refused(
    make_run: MakeRun, made: Any, tmp_path: Path
) -> None:
    run = make_run("a", cell(made, defense="none"))
    (outcome,) = (run.path / "cells").glob("*.safetensors")
    outcome.write_bytes(outcome.read_bytes()[:-1] + b"x")
    other = make_run("b", cell(made, defense="none"))
    for paths in ([run.path, other.path], [run.path]):
        with pytest.raises(RequestError, match="damaged"):
            Merge.of(paths, tmp_path / "out")
    with pytest.raises(RequestError, match="is not a run's folder"):
        Merge.of([tmp_path / "absent"], tmp_path / "out")

    path = other.path / "config.json"
    content = json.loads(path.read_text())
    content.pop("seal")
    content.pop("schema")
    path.write_text(json.dumps(content))
    with pytest.raises(RequestError, match="earlier version"):
        Merge.of([other.path], tmp_path / "out")


def test_another_run_in_the_folder_is_kept(make_run: MakeRun, tmp_path: Path) -> None:
    first, second = make_run("a"), make_run("b", seeds=[1])
    with pytest.raises(RequestError, match="holds another run: name it among the runs"):
        Merge.of([first.path], second.path)
    assert second.config()["seeds"] == [1]


def test_a_merge_that_is_killed_leaves_a_run_and_goes_on(
    make_run: MakeRun, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [
        make_run("a", cell(made, defense="none")),
        make_run("b", cell(made, defense="none", seed=1), seeds=[1]),
    ]
    paths = [run.path for run in runs]
    Merge.of(paths, tmp_path / "out").write()
    shutil.copytree(paths[0], tmp_path / "kept")

    def killed(*_: object) -> None:
        raise StorageError("the process is killed")

    with monkeypatch.context() as patched:
        patched.setattr(merging, "_copy", killed)
        with pytest.raises(StorageError):
            Merge.of(paths, paths[0]).write()
    assert len(RunFolder.open(paths[0]).records()) == 1
    Merge.of(paths, paths[0]).write()
    assert written(paths[0]) == written(tmp_path / "out")
