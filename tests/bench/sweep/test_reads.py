"""Reads of a run: each outcome once, and only the header of a network that is not used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.records import array_files as array_files_module
from bench.store import artifacts as artifacts_module


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often each file's arrays are read."""
    counted: Counter[Path] = Counter()
    real = artifacts_module.read_artifact

    def counting(path: Path, *limits: int) -> artifacts_module.Artifact:
        artifact = real(path, *limits)
        counted[path] += 1
        return artifact

    monkeypatch.setattr(artifacts_module, "read_artifact", counting)
    monkeypatch.setattr(array_files_module, "read_artifact", counting)
    return counted


def test_a_resume_checks_each_outcome_and_derives_the_tables_from_it_and_reads_no_network(
    bench: Callable[..., Any], tiny: Path, reads: Counter[Path]
) -> None:
    command = ("run", "--config", tiny, "--out", "out")
    assert bench(*command).code == 0
    reads.clear()
    assert bench(*command).code == 0

    outcomes = sorted(Path("out/cells").glob("*.safetensors"))
    # Once for the check and once for the tables: none is held in memory in between.
    assert {path: reads[path] for path in outcomes} == dict.fromkeys(outcomes, 2)
    assert not [path for path in reads if path.parent.name == "network"]


def test_new_cells_read_each_cached_network_once(
    bench: Callable[..., Any], tiny: Path, reads: Counter[Path]
) -> None:
    assert bench("run", "--config", tiny, "--eps", "0.1", "--out", "first").code == 0
    reads.clear()
    assert bench("run", "--config", tiny, "--eps", "0.1,0.15,0.2", "--out", "second").code == 0

    networks = {path: count for path, count in reads.items() if path.parent.name == "network"}
    assert networks
    assert set(networks.values()) == {1}
