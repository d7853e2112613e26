"""Sealed JSON files of a run: records of cells and of timings, each named by its key."""

from __future__ import annotations

from pathlib import Path

from bench.records.cell import EARLIER_SCHEMAS, SCHEMA, CellRecord
from bench.records.layout import file_name
from bench.records.timing import EARLIER_TIMING_SCHEMAS, TIMING_SCHEMA, Timing
from bench.store.reading import MEBIBYTE, Unreadable
from bench.store.sealed import SealedFormat

CELLS = SealedFormat(SCHEMA, EARLIER_SCHEMAS, most=MEBIBYTE)
TIMINGS = SealedFormat(TIMING_SCHEMA, EARLIER_TIMING_SCHEMAS, most=16 * MEBIBYTE)


def read_record(path: Path, *, sealed: bool = False) -> CellRecord:
    """The record of a cell, whose file is named by its key.

    Args:
        path: file to read.
        sealed: whether a record of an earlier version, which has no seal, is refused.

    Raises:
        FileNotFoundError: there is no such file.
        Unreadable: the file is damaged, of another version, or the record of another cell.
        OSError: it cannot be read.
    """
    record = CellRecord.from_json(CELLS.read(path, sealed=sealed))
    _check_name(path, record.key)

    return record


def read_timing(path: Path, *, sealed: bool = False) -> Timing:
    """The record of a timing, named by its call; arguments and errors as in `read_record`."""
    timing = Timing.from_json(TIMINGS.read(path, sealed=sealed))
    _check_name(path, timing.call.key)

    return timing


def _check_name(path: Path, key: str) -> None:
    if path.name != file_name(key, "json"):
        raise Unreadable(f"it belongs under the name {file_name(key, 'json')}")
