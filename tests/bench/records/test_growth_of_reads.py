"""The cost of a run's folder grows with its cells, not with how often it is asked for them."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import RequestError
from bench.records import folder as folder_module
from bench.records.folder import RunFolder
from bench.store import remembered


@pytest.fixture
def run(made: Any, tmp_path: Path) -> Path:
    """Three cells."""
    folder = RunFolder.create(tmp_path / "run", {"defenses": ["a", "b", "c"]})
    for defense in "abc":
        folder.save(made.record(defense), made.outcome(np.ones(20)))
    return folder.path


@pytest.mark.parametrize("name", ["read_record", "check_outcome"])
def test_each_file_is_read_once(run: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    read: list[Path] = []
    real = getattr(folder_module, name)

    def counted(path: Path, *arguments: Any, **options: Any) -> Any:
        read.append(path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(folder_module, name, counted)
    folder = RunFolder.create(run, {"defenses": ["a", "b", "c"]})
    for _ in range(3):
        assert all(folder.record(record.key) for record in folder.records())

    assert len(read) == 3 == len(set(read))


def test_a_record_or_an_outcome_that_changes_is_read_again(run: Path) -> None:
    folder = RunFolder.open(run)
    first, second, _ = folder.records()
    assert folder.record(first.key)
    assert folder.record(second.key)

    (run / "cells" / f"{first.key[:16]}.json").write_text("{}")
    (run / "cells" / f"{second.key[:16]}.safetensors").write_bytes(b"other")
    assert folder.record(first.key) is None
    assert folder.record(second.key) is None


def test_an_outcome_whose_change_no_state_shows_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "state_of", lambda _path: (0, 0, 0, 0))
    folder = RunFolder.open(run)
    record = folder.records()[0]
    assert folder.record(record.key)

    path = run / "cells" / f"{record.key[:16]}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RequestError, match="damaged"):
        folder.outcome(record)


def test_outcomes_are_not_held_in_memory(run: Path, made: Any) -> None:
    folder = RunFolder.open(run)
    record = folder.records()[0]
    outcome = made.outcome(np.ones(20))
    held = [weakref.ref(outcome), weakref.ref(folder.outcome(record))]

    folder.save(record, outcome)
    del outcome
    gc.collect()
    assert [reference() for reference in held] == [None, None]
