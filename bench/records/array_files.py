"""Files of arrays in a run's folder, each bound to its cell or its adversarial set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.records.cell import CellRecord
from bench.records.cell_images import CellImages
from bench.records.outcome import Outcome
from bench.store.artifacts import Artifact, Tensors, read_artifact, write_artifact
from bench.store.reading import MEBIBYTE

MOST_BYTES = 256 * MEBIBYTE
"""Largest size in bytes of a file of arrays in a run's folder."""


def write_outcome(path: Path, record: CellRecord, outcome: Outcome) -> None:
    """Write the outcome of a cell.

    Raises:
        StorageError: the file could not be written.
    """
    write_artifact(path, outcome.to_arrays(), _owner(record))


def read_outcome(path: Path, record: CellRecord) -> tuple[Outcome, CellImages | None]:
    """The outcome of a cell, and the images that version 0.1.0 kept in the same file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or not the outcome of this cell.
    """
    artifact = read_artifact(path, MOST_BYTES)
    _check_owner(artifact, record)
    outcome = Outcome.from_arrays(artifact.tensors)

    n, draws = len(outcome.labels), len(outcome.adversarial_defended)
    if n != record.n:
        raise ValueError(f"it has {n} images instead of {record.n}")
    if draws < 1 or (draws > 1 and not record.properties.stochastic):
        raise ValueError(f"it has {draws} draws of a defense that is not randomized")

    return outcome, CellImages.embedded_in(artifact.tensors)


def check_outcome(path: Path, record: CellRecord) -> None:
    """Check the outcome of a cell; errors as in `read_outcome`."""
    read_outcome(path, record)


def write_purified(path: Path, record: CellRecord, images: CellImages) -> None:
    """Write the purified images of a cell.

    Raises:
        StorageError: the file could not be written.
    """
    write_artifact(path, {"purified": images.purified}, _owner(record))


def read_purified(path: Path, record: CellRecord) -> Tensors:
    """The purified images of a cell; errors as in `read_outcome`."""
    artifact = read_artifact(path, MOST_BYTES)
    _check_owner(artifact, record)

    return _named(artifact, "purified")


def write_adversarial_set(path: Path, digest: str, images: CellImages) -> None:
    """Write the first images of an adversarial set, clean and attacked.

    Raises:
        StorageError: the file could not be written.
    """
    arrays = {"clean": images.clean, "adversarial": images.adversarial}
    write_artifact(path, arrays, {"adversarial_set": digest})


def read_adversarial_set(path: Path, digest: str) -> Tensors:
    """The first images of an adversarial set; errors as in `read_outcome`."""
    artifact = read_artifact(path, MOST_BYTES)
    if _meta(artifact).get("adversarial_set") != digest:
        raise ValueError("it belongs to another adversarial set")

    return _named(artifact, "clean", "adversarial")


def check_adversarial_set(path: Path, digest: str) -> None:
    """Check the first images of an adversarial set; errors as in `read_outcome`."""
    read_adversarial_set(path, digest)


def _owner(record: CellRecord) -> dict[str, Any]:
    """The description of a file of a cell."""
    return {"key": record.key, "labels": dict(record.labels)}


def _check_owner(artifact: Artifact, record: CellRecord) -> None:
    """Check that a file belongs to a cell; before version 0.2.0 it stated the labels alone."""
    meta = _meta(artifact)
    stated = ("key", record.key) if "key" in meta else ("labels", dict(record.labels))
    if meta.get(stated[0]) != stated[1]:
        raise ValueError("it belongs to another cell")


def _meta(artifact: Artifact) -> Mapping[str, Any]:
    return artifact.meta if isinstance(artifact.meta, Mapping) else {}


def _named(artifact: Artifact, *names: str) -> Tensors:
    if set(artifact.tensors) != set(names):
        raise ValueError(f"it does not hold the arrays {', '.join(names)}")
    return artifact.tensors
