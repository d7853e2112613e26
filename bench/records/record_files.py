"""Record files: JSON objects of cells and timings, read from a run's folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import RequestError
from bench.records.cell import CellRecord
from bench.records.timing import Timing

T = TypeVar("T")


def read_record(path: Path) -> CellRecord:
    """The record of a cell.

    Raises:
        FileNotFoundError: there is no such file.
        RequestError: the file is damaged, of another version, or something else.
    """
    return _parsed(path, CellRecord.from_json)


def read_timing(path: Path) -> Timing:
    """The record of a timing.

    Raises:
        FileNotFoundError: there is no such file.
        RequestError: the file is damaged, of another version, or something else.
    """
    return _parsed(path, Timing.from_json)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        FileNotFoundError: there is no such file.
        RequestError: the file is damaged, or holds something else than an object.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RequestError(
            f"{path} is damaged ({error}): remove it and run the same command again"
        ) from None
    if not isinstance(content, dict):
        raise RequestError(f"{path} does not hold a JSON object")

    return content


def _parsed(path: Path, parse: Callable[[dict[str, Any]], T]) -> T:
    """The content of a file as a record; what `parse` refuses is an error that names the file."""
    content = read_object(path)
    try:
        return parse(content)
    except ValueError as error:
        raise RequestError(f"{path}: {error}") from None
