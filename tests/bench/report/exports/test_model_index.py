"""The format `model-index`, read by a YAML parser of version 1.1, as the Hub has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench.report.escapes import yaml_text
from bench.report.exports.model_index import _inline, write
from bench.report.exports.pipelines import MeasuredPipeline
from bench.store.tree import Tree


@pytest.fixture
def models(measured: list[MeasuredPipeline], tmp_path: Path) -> dict[str, Any]:
    write(measured, Tree(tmp_path))
    text = (tmp_path / "model-index.yaml").read_text()
    content = yaml.safe_load(text)
    # As the front of a model card.
    card = f"---\nlicense: mit\n{text}---\n# Title\n"
    assert next(yaml.safe_load_all(card))["model-index"] == content["model-index"]
    return {model["name"]: model["results"] for model in content["model-index"]}


def test_each_pipeline_is_a_model_with_its_task_and_data_set(models: dict[str, Any]) -> None:
    assert set(models) == {
        *("cnn, seed 0", "cnn, seed 1"),
        *("convae:width=8 + cnn, seed 0", "convae:width=8 + cnn, seed 1"),
    }
    for (result,) in models.values():
        assert set(result) == {"task", "dataset", "metrics"}
        assert result["task"]["type"] == "image-classification"
        assert result["dataset"] == {"type": "npz", "name": "npz", "split": "test"}
        assert all({"type", "value", "name"} <= set(metric) for metric in result["metrics"])
        assert not any("verified" in metric for metric in result["metrics"])


def test_numbers_are_shares_and_suspect_ones_say_so(models: dict[str, Any]) -> None:
    ((result,),) = (models["convae:width=8 + cnn, seed 0"],)
    values = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert values["Clean accuracy"] == 0.95
    robust = {name.removesuffix(" (suspect)"): value for name, value in values.items()}
    assert robust["Worst-case accuracy, linf 0.1"] == 0.5
    assert robust["Robust accuracy, fgsm 0.1, graybox"] == 0.75
    assert values["Worst-case accuracy, l2 0.5 (suspect)"] == 0.9
    assert all(isinstance(value, float) for value in values.values())


@given(
    st.dictionaries(
        st.text(min_size=1),
        st.text(st.characters(exclude_categories=())) | st.integers() | st.sampled_from([0.0001]),
        max_size=3,
    )
)
def test_a_line_holds_any_text_as_a_text(facts: dict[str, Any]) -> None:
    line = _inline(facts)
    assert "\n" not in line
    expected = {
        yaml_text(name): yaml_text(value) if isinstance(value, str) else value
        for name, value in facts.items()
    }
    assert yaml.safe_load(f"- {line}") == [expected]
