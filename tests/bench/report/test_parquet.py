"""`results.parquet` beside `results.csv` and the raw records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.api.types import is_bool_dtype, is_float_dtype, is_integer_dtype, is_numeric_dtype

from bench.records.folder import RunFolder
from bench.report import write_tables
from bench.report.escapes import parquet_text
from bench.report.report import Report
from bench.store.keys import content_key

ENVIRONMENT = {
    "device": {"name": "some processor", "type": "cpu"},
    "packages": {"torch": "2.9.0", "purification-bench": None},
}
WEIGHTS = {"classifier": content_key({"c": 1}), "defense": content_key({"d": 1})}
PARAMETERS = {
    "classifier": {"width": 8},
    "defense": {"attack": ["fgsm", "pgd"], "eps": 0.25},
    "attack": {},
    "attack_at_eps": {"rel_stepsize": 0.1},
}
FORMULA = "raised =1+1"


def save(folder: RunFolder, made: Any) -> None:
    environment = folder.save_environment(ENVIRONMENT)
    for defense, eps in (("none", 0.1), ("convae:width=8", 1 / 3)):
        cell = made.cell(np.arange(20) < 7, defense=defense, eps=eps, parameters=PARAMETERS)
        record = replace(cell.record, environment=environment, networks=WEIGHTS)
        folder.save(record, cell.outcome)
    failed = made.record("broken", status="failed", reason=FORMULA, adversarial_set="")
    folder.save(failed, None)


@pytest.fixture(scope="module")
def run(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder.create(tmp_path_factory.mktemp("parquet") / "my-run", {})
    save(folder, made)
    write_tables(folder)
    return folder.path


@pytest.fixture(scope="module")
def frame(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "tables" / "results.parquet")


def test_it_has_the_rows_and_columns_of_the_csv_file(run: Path, frame: pd.DataFrame) -> None:
    text = pd.read_csv(run / "tables" / "results.csv", dtype=str, keep_default_na=False)
    assert list(frame.columns)[: text.shape[1]] == list(text.columns)
    assert len(frame) == len(text) == 3
    for name in text.columns:
        if is_numeric_dtype(frame[name]):
            numbers = [float(value or "nan") for value in text[name]]
            np.testing.assert_allclose(frame[name], numbers, rtol=1e-8)
        else:
            texts = ["" if pd.isna(value) else value for value in frame[name]]
            assert texts == text[name].tolist(), name
    assert (frame["eps"] == 1 / 3).any()  # not cut to nine digits


def test_every_column_has_its_type(frame: pd.DataFrame) -> None:
    whole = [name for name, kind in frame.dtypes.items() if is_integer_dtype(kind)]
    flags = [name for name, kind in frame.dtypes.items() if is_bool_dtype(kind)]
    numbers = [name for name, kind in frame.dtypes.items() if is_float_dtype(kind)]
    assert (whole, flags) == (["seed", "eot", "n"], ["stochastic"])
    assert {"eps", "robust_accuracy_low", "minimum_distance_median", "trained_eps"} <= set(numbers)
    rest = set(frame.columns) - {*whole, *flags, *numbers}
    assert all(isinstance(value, str) for name in rest for value in frame[name].dropna())


def test_no_number_of_the_results_is_written_as_text(run: Path, frame: pd.DataFrame) -> None:
    results = Report.of(RunFolder.open(run)).results
    numeric = [name for name, kind in results.dtypes.items() if is_numeric_dtype(kind)]
    assert len(numeric) > 20
    assert all(is_numeric_dtype(frame[name]) for name in numeric)


def test_the_provenance_is_that_of_the_records(run: Path, frame: pd.DataFrame) -> None:
    records = [json.loads(path.read_text()) for path in (run / "cells").glob("*.json")]
    rows = {row["key"]: row for row in frame.to_dict("records")}
    assert set(rows) == {record["key"] for record in records}
    for record in records:
        row = rows[record["key"]]
        assert row["data"] == record["data"]
        assert row["environment"] == record["environment"]
        for role in ("classifier", "defense", "substitute"):
            stored = row[f"{role}_network"]
            assert (None if pd.isna(stored) else stored) == record["networks"].get(role)
        for part, values in record["parameters"].items():
            assert json.loads(row[f"{part}_parameters"]) == values
        missing = pd.isna(row["adversarial_set"])
        assert ("" if missing else row["adversarial_set"]) == record["adversarial_set"]


def test_machine_and_versions_are_those_of_the_environment(frame: pd.DataFrame) -> None:
    ok = frame[frame["status"] == "ok"]
    assert set(ok["device"]) == {"some processor"}
    assert set(ok["torch_version"]) == {"2.9.0"}
    assert frame["package_version"].isna().all()
    assert frame.loc[frame["status"] == "failed", "device"].isna().all()  # no such environment


def test_a_missing_number_is_null_and_no_text_is_escaped(run: Path) -> None:
    table = pq.read_table(run / "tables" / "results.parquet").to_pylist()
    (failed,) = (row for row in table if row["status"] == "failed")
    assert failed["robust_accuracy"] is None
    assert failed["reason"] == FORMULA


def test_the_bytes_do_not_depend_on_when_or_where_it_is_written(
    run: Path, made: Any, tmp_path: Path
) -> None:
    folder = RunFolder.create(tmp_path / "elsewhere" / "another-name", {})
    save(folder, made)
    write_tables(folder)
    first, second = (path / "tables" / "results.parquet" for path in (run, folder.path))
    assert first.read_bytes() == second.read_bytes()


def test_a_parameter_that_is_no_number_is_null_in_a_column_of_numbers(
    made: Any, tmp_path: Path
) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    defense = {"attack": "fgsm", "eps": "8/255"}
    cell = made.cell([1, 0, 1], parameters={"defense": defense})
    folder.save(cell.record, cell.outcome)
    write_tables(folder)
    (row,) = pq.read_table(folder.path / "tables" / "results.parquet").to_pylist()
    assert row["trained_eps"] is None
    assert json.loads(row["defense_parameters"]) == defense


def test_a_run_without_cells_has_none(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", {})
    write_tables(folder)
    assert not (folder.path / "tables" / "results.parquet").exists()


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_can_be_written_and_a_valid_one_stays_as_it_is(text: str) -> None:
    written = parquet_text(text)
    assert written.encode().decode() == written
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert written == text
