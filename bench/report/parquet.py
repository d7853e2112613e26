"""The Parquet file of a run: results and their provenance, one row per cell, every column typed."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.report.accuracy.frame import DETECTION, EXTRA
from bench.report.accuracy.metrics import METRICS
from bench.report.escapes import parquet_text
from bench.report.report import Report
from bench.store.tree import Tree

_WHOLE_NUMBERS = ("seed", "eot", "n")
_NUMBERS = (
    "eps",
    *(column for metric in METRICS for column in metric.columns),
    *("latency_p50_ms", "latency_p95_ms", "trained_eps"),
)
_FLAGS = ("stochastic",)

_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(_WHOLE_NUMBERS, pa.int64()),
    **dict.fromkeys(_NUMBERS, pa.float64()),
    **dict.fromkeys(_FLAGS, pa.bool_()),
}
"""Types of columns by name; any other column is text, but for numbers of a defense's own."""


def write_parquet(tree: Tree, report: Report) -> None:
    """Write `tables/results.parquet`: the columns of `results.csv`, then those of the provenance.

    Missing values are null. The same records give the same bytes, in whatever folder they lie: its
    name is left out.

    Raises:
        StorageError: the file could not be written.
    """
    frame = pd.concat([report.results, report.provenance.drop(columns="run")], axis=1)
    table = pa.table({str(name): _column(str(name), values) for name, values in frame.items()})

    file = io.BytesIO()
    pq.write_table(table, file)
    tree.write_bytes("tables", "results.parquet", data=file.getvalue())


def _column(name: str, values: pd.Series[Any]) -> pa.Array:
    """The values of a column in the type of that name."""
    is_own_number = name.startswith((EXTRA, DETECTION))
    kind = pa.float64() if is_own_number else _TYPES.get(name, pa.string())
    if pa.types.is_string(kind):
        texts = [None if pd.isna(value) else parquet_text(str(value)) for value in values]
        return pa.array(texts, type=kind)
    if pa.types.is_floating(kind):
        # A plugin's own parameter may have the name of a column, and be no number.
        values = pd.to_numeric(values, errors="coerce")

    return pa.array(values.tolist(), type=kind, from_pandas=True)
