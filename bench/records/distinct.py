"""Checks that a run has at most one record of each cell, and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.errors import RequestError
from bench.records.cell import LABELS, CellRecord
from bench.records.labels import check_labels
from bench.records.layout import file_name


def check_distinct(records: Iterable[CellRecord], folder: Path) -> None:
    """Check that no two records have the same labels, as one from another run would.

    Args:
        records: records of a run.
        folder: folder that they lie in, for the message.

    Raises:
        RequestError: two records have the same labels.
    """
    known: dict[tuple[Any, ...], CellRecord] = {}
    for record in records:
        other = known.setdefault(_identity(record.labels), record)
        if other is not record:
            first, second = (file_name(each.key, "json") for each in (other, record))
            raise RequestError(
                f"{folder / first} and {second} are records of the same cell: "
                "remove the one that is not of this run"
            )


def check_recordable(
    cells: Mapping[str, Mapping[str, Any]], records: Iterable[CellRecord], folder: Path
) -> None:
    """Check that the cells of a run can be recorded beside the records that it has.

    Args:
        cells: labels of the cells by key.
        records: records that the run has.
        folder: folder that they lie in, for the message.

    Raises:
        RequestError: a label cannot be stored, there is a record of the same labels that was
            computed from something else, or one of no cell of the run.
    """
    recorded = {_identity(record.labels): record for record in records}
    for key, labels in cells.items():
        try:
            check_labels(labels)
        except ValueError as fault:
            raise RequestError(f"a cell cannot be recorded: {fault}") from None

        record = recorded.get(_identity(labels))
        if record is not None and record.key != key:
            raise RequestError(
                f"{folder / file_name(record.key, 'json')} is of a cell of this run, but was "
                "computed from other data or by another version: choose another folder with --out"
            )

    _check_foreign(cells, recorded.values(), folder)


def _check_foreign(
    cells: Mapping[str, Mapping[str, Any]], records: Iterable[CellRecord], folder: Path
) -> None:
    """Check that every record is that of a cell of the run, under the labels of this cell."""
    identities = {key: _identity(labels) for key, labels in cells.items()}
    known = set(identities.values())

    for record in records:
        identity = _identity(record.labels)
        if identities.get(record.key, identity) != identity or identity not in known:
            raise RequestError(
                f"{folder / file_name(record.key, 'json')} is the record of no cell of this run: "
                "move it elsewhere"
            )


def _identity(labels: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(labels[name] for name in LABELS)
