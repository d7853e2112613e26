"""A run of version 0.1.0: its records, arrays and embedded images are still read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from bench.analysis.outcomes import evaluated_cells
from bench.errors import RequestError
from bench.records.folder import RunFolder
from bench.report import write_report

STORED = Path(__file__).parent / "run-0.1.0"


@pytest.fixture
def earlier(tmp_path: Path) -> RunFolder:
    """A copy of one cell of that version's run of the preset `quick`."""
    return RunFolder.open(Path(shutil.copytree(STORED, tmp_path / "run")))


def stored_record() -> dict[str, Any]:
    (path,) = (STORED / "cells").glob("*.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_the_record_has_its_properties(earlier: RunFolder) -> None:
    content = stored_record()
    assert content["schema"] == 2

    (record,) = earlier.records()
    assert record == earlier.record(content["key"])
    assert record.properties.norm == content["facts"]["norm"]
    assert record.properties.steps == content["facts"]["steps"]
    assert not record.properties.stops_at_first_success
    assert record.adversarial_set == ""


def test_an_attack_that_kept_its_first_success_is_recognized(earlier: RunFolder) -> None:
    (path,) = (earlier.path / "cells").glob("*.json")
    content = stored_record()
    content["parameters"]["attack"]["keep"] = "first"
    path.write_text(json.dumps(content))

    (record,) = earlier.records()
    assert record.properties.stops_at_first_success


def test_the_outcome_and_the_images_are_those_of_the_file(earlier: RunFolder) -> None:
    (path,) = (STORED / "cells").glob("*.safetensors")
    arrays = load_file(path)
    (cell,) = evaluated_cells(earlier)

    doubled = cell.outcome.doubled_steps_undefended
    assert doubled is not None
    np.testing.assert_array_equal(doubled, arrays["longer_undefended"])
    np.testing.assert_array_equal(cell.outcome.labels, arrays["labels"])
    images = earlier.images(cell.record)
    assert images is not None
    np.testing.assert_array_equal(images.clean, arrays["sample_clean"])
    np.testing.assert_array_equal(images.adversarial, arrays["sample_adversarial"])
    np.testing.assert_array_equal(images.purified, arrays["sample_purified"])


def test_images_can_be_asked_for_first(earlier: RunFolder) -> None:
    (record,) = earlier.records()
    assert earlier.images(record) is not None


def test_its_report_has_tables_and_pictures(earlier: RunFolder) -> None:
    write_report(earlier)
    results = pd.read_csv(earlier.path / "tables" / "results.csv")
    assert results["status"].tolist() == ["ok"]
    assert list((earlier.path / "plots").glob("images_*.png"))


@pytest.mark.parametrize(
    "change",
    [
        {"facts": None},
        {"facts": []},
        {"parameters": []},
        {"parameters": {"attack": None}},
        {"labels": {}},
        {"schema": 1},
    ],
)
def test_a_malformed_record_is_one_clear_error(earlier: RunFolder, change: dict[str, Any]) -> None:
    (path,) = (earlier.path / "cells").glob("*.json")
    content = {**stored_record(), **change}
    path.write_text(json.dumps(content))

    assert earlier.record(content["key"]) is None
    with pytest.raises(RequestError, match=path.name):
        list(earlier.records())
