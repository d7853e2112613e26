"""The format `robustbench`, read as RobustBench reads its files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.report.exports.pipelines import MeasuredPipeline
from bench.report.exports.robustbench import write
from bench.store.tree import Tree

FIELDS = {
    *("link", "name", "authors", "additional_data", "number_forward_passes", "dataset", "venue"),
    *("architecture", "eps", "clean_acc", "reported", "external", "footnote", "unreliable"),
}
"""Fields of the form, without that of AutoAttack."""


@pytest.fixture
def files(measured: list[MeasuredPipeline], tmp_path: Path) -> dict[str, dict[str, Any]]:
    write(measured, Tree(tmp_path / "out"))
    folder = tmp_path / "out"
    return {
        str(path.relative_to(folder)): json.loads(path.read_text())
        for path in folder.glob("*/*/*.json")
    }


def test_a_file_for_each_pipeline_and_budget(files: dict[str, dict[str, Any]]) -> None:
    starts = sorted(name.rpartition("_")[0] for name in files)
    assert starts == [
        "npz/L2/cnn_convae-width=8_eps0.5_seed0",
        "npz/Linf/cnn_convae-width=8_eps0.1_seed0",
        "npz/Linf/cnn_convae-width=8_eps0.1_seed1",
        "npz/Linf/cnn_none_eps0.1_seed0",
        "npz/Linf/cnn_none_eps0.1_seed1",
    ]


def test_the_fields_are_those_of_the_form(files: dict[str, dict[str, Any]]) -> None:
    for content in files.values():
        assert set(content) == FIELDS
        assert isinstance(content["unreliable"], bool)
        assert all(
            isinstance(content[name], str)
            for name in FIELDS - {"additional_data", "number_forward_passes", "unreliable"}
        )


def test_accuracies_are_in_percent_and_never_those_of_autoattack(
    files: dict[str, dict[str, Any]],
) -> None:
    (undefended,) = (files[name] for name in files if "none_eps0.1_seed0" in name)
    assert (undefended["clean_acc"], undefended["external"]) == ("95.00", "25.00")
    assert (undefended["architecture"], undefended["number_forward_passes"]) == ("cnn", 1)
    (defended,) = (files[name] for name in files if "8_eps0.1_seed0" in name)
    assert (defended["clean_acc"], defended["external"]) == ("95.00", "50.00")
    assert (defended["architecture"], defended["eps"]) == ("convae:width=8 + cnn", "0.1")
    assert defended["number_forward_passes"] is None
    for content in files.values():
        assert "autoattack_acc" not in content
        assert "not AutoAttack's" in content["footnote"]


def test_a_doubtful_number_is_unreliable_and_says_why(files: dict[str, dict[str, Any]]) -> None:
    (gray,) = (content for name, content in files.items() if "/L2/" in name)
    assert gray["unreliable"] is True
    assert "no valid attack saw the defense" in gray["footnote"]


def test_a_second_export_gives_the_same_files(
    measured: list[MeasuredPipeline], tmp_path: Path
) -> None:
    tree = Tree(tmp_path)
    write(measured, tree)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    write(measured, tree)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


@pytest.mark.parametrize(
    ("eps", "text"),
    [(8 / 255, "8/255"), (0.5, "0.5"), (0.2, "0.2"), (1.0, "1"), (1 / 3, "85/255"), (0.01, "0.01")],
)
def test_a_budget_is_written_as_robustbench_does(
    eps: float, text: str, measured: list[MeasuredPipeline], tmp_path: Path
) -> None:
    (first, *_) = measured
    budget = replace(first.budgets[0], eps=eps)
    write([replace(first, budgets=(budget,))], Tree(tmp_path))
    (path,) = tmp_path.glob("*/*/*.json")
    assert json.loads(path.read_text())["eps"] == text


def test_a_budget_that_no_norm_bounds_has_no_file(
    measured: list[MeasuredPipeline], tmp_path: Path
) -> None:
    (first, *_) = measured
    budget = replace(first.budgets[0], norm="no norm")
    assert write([replace(first, budgets=(budget,))], Tree(tmp_path)).endswith(": 0")
    assert [path.name for path in tmp_path.rglob("*")] == ["export.json"]
