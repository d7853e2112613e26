"""The workflow for continuous integration that docs/ci.md shows."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import yaml

from tests.docs.markdown import ROOT, blocks


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    (block,) = (b for b in blocks(ROOT / "docs" / "ci.md") if b.language == "yaml")
    content: dict[Any, Any] = yaml.safe_load("\n".join(block.lines))
    return content


@pytest.fixture(scope="module")
def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    (job,) = workflow["jobs"].values()
    assert job["runs-on"]
    listed: list[dict[str, Any]] = job["steps"]
    return listed


def test_it_has_what_a_workflow_needs(workflow: dict[Any, Any], steps: Any) -> None:
    assert {"name", "permissions", "jobs", True} <= set(workflow)  # YAML 1.1 reads `on` as true
    for step in steps:
        assert ("run" in step) != ("uses" in step), step
        assert set(step) <= {"name", "run", "uses", "with", "if"}, step
        assert "uses" not in step or "@v" in step["uses"]


def test_the_gate_judges_what_was_evaluated_and_its_files_are_kept(steps: Any) -> None:
    (run,) = (step["run"] for step in steps if step.get("run", "").startswith("bench run"))
    (gate,) = (step["run"] for step in steps if step.get("run", "").startswith("bench gate"))
    arguments = shlex.split(gate)
    written = {arguments[arguments.index(f"--{kind}") + 1] for kind in ("junit", "json")}
    kept = set(steps[-1]["with"]["path"].split())
    assert f"--out {arguments[3]}" in run
    assert kept == {*written, arguments[3]}
    assert "none" in shlex.split(run)[shlex.split(run).index("--defenses") + 1].split(",")
    assert steps[-1]["if"] == "always()"  # also where the gate failed


def test_networks_are_kept_where_the_bench_looks_for_them(
    workflow: dict[Any, Any], steps: Any
) -> None:
    (cache,) = (step for step in steps if step.get("uses", "").startswith("actions/cache@"))
    assert workflow["env"]["BENCH_CACHE"].endswith(f"/{cache['with']['path']}")
