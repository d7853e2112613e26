"""The order of records and timings in tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.records.cell import LABELS, CellRecord
from bench.records.timing import Timing


def in_order(records: Iterable[CellRecord], config: Mapping[str, Any]) -> list[CellRecord]:
    """The records in the order in which a configuration lists the values of the axes."""
    axes = [axis for axis in LABELS if axis != "eps"]
    listed = {axis: _positions(config.get(f"{axis}s", [])) for axis in axes}

    return sorted(records, key=lambda record: _record_order(record.labels, listed))


def timings_in_order(timings: Iterable[Timing]) -> list[Timing]:
    """The timings by pipeline, engine, precision, target, batch size and round."""
    return sorted(timings, key=_timing_order)


def _positions(values: Iterable[Any]) -> dict[str, int]:
    """The position of each value in a list, by its text; the first one of equal texts."""
    positions: dict[str, int] = {}
    for position, value in enumerate(values):
        positions.setdefault(str(value), position)

    return positions


def _record_order(
    labels: Mapping[str, Any], listed: Mapping[str, Mapping[str, int]]
) -> list[tuple[int, float, str]]:
    """The sort key of a record: listed values in their order, then others by size or name.

    The axes count in alphabetical order, as in the files of the records.
    """
    order = []
    for axis, value in sorted(labels.items()):
        positions = listed.get(axis, {})
        index = positions.get(str(value), len(positions))
        size = float(value) if isinstance(value, (int, float)) else 0.0
        order.append((index, size, str(value)))

    return order


def _timing_order(timing: Timing) -> tuple[Any, ...]:
    call = timing.call
    pipeline = call.pipeline
    labels = (pipeline.dataset, pipeline.classifier, pipeline.defense)

    return (*labels, call.engine, call.precision, call.target, call.batch_size, call.round)
