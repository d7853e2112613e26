"""A run's folder: the resolved configuration, environments, one record and one raw outcome per
cell, latency samples.

config.json              the resolved configuration
environments/<id>.json   versions and device; every record names its own
cells/<key>.json         status, reason, labels, parameters
cells/<key>.safetensors  the raw per-image outcome of a cell that is ok
images/<key>.safetensors the first images of an adversarial set, and of each cell, purified
latency/<key>.json       raw seconds per call
tables/, plots/          derived; `bench report` makes them again
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.errors import RequestError
from bench.records.cell import LABELS, CellRecord
from bench.records.outcome import CellImages, Outcome
from bench.records.timing import Subject, Timing
from bench.store.artifacts import read_artifact, write_artifact
from bench.store.atomic import is_partial, sweep_partials, write_json
from bench.store.keys import content_key


class RunFolder:
    """Reads and writes a run's folder; every file is written atomically."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._outcomes: dict[str, Outcome] = {}
        self._embedded: dict[str, CellImages] = {}

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> RunFolder:
        """Open the folder for this configuration, making it where it is new.

        Raises:
            RequestError: it holds a run of another configuration, or something else.
            StorageError: it cannot be written.
        """
        folder = cls(path)
        stored = path / "config.json"
        if stored.is_file():
            if folder.config() != json.loads(json.dumps(config)):
                raise RequestError(
                    f"{path} holds a run of another configuration: choose another folder with --out"
                )
        elif path.exists() and (
            not path.is_dir() or any(not is_partial(entry) for entry in path.iterdir())
        ):
            raise RequestError(
                f"{path} exists and is not a run's folder: choose another with --out"
            )
        else:
            write_json(stored, config)
        sweep_partials(path)
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open a folder that holds a run.

        Raises:
            RequestError: it does not.
        """
        if not (path / "config.json").is_file():
            raise RequestError(f"{path} is not a run's folder (it has no config.json)")
        return cls(path)

    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        return _read_object(self.path / "config.json")

    def save_environment(self, environment: Mapping[str, Any]) -> str:
        """Keep an environment and return its id."""
        name = content_key(environment)[:12]
        path = self.path / "environments" / f"{name}.json"
        if not path.is_file():
            write_json(path, environment)
        return name

    def environments(self) -> dict[str, dict[str, Any]]:
        """All environments by id."""
        return {
            path.stem: _read_object(path)
            for path in sorted((self.path / "environments").glob("*.json"))
        }

    def machines(self) -> dict[str, str]:
        """Device and PyTorch of all environments, in words, by id."""
        return {
            name: f"{found.get('device', {}).get('name', 'unknown device')}, "
            f"PyTorch {found.get('packages', {}).get('torch', 'unknown')}"
            for name, found in self.environments().items()
        }

    def save(
        self, record: CellRecord, outcome: Outcome | None, images: CellImages | None = None
    ) -> None:
        """Write a cell: its images, then its outcome, then the record, which never lacks them.

        Args:
            record: the cell's record.
            outcome: its raw outcome; None where it is not ok.
            images: its first images, for pictures.

        Raises:
            StorageError: a file could not be written.
        """
        if images is not None:
            self._save_images(record, images)
        if outcome is not None:
            labels = {"labels": dict(record.labels)}
            write_artifact(self._outcome_path(record.key), outcome.to_arrays(), labels)
            self._outcomes[record.key] = outcome

        write_json(self._record_path(record.key), record.to_json())

    def record(self, key: str) -> CellRecord | None:
        """The record of that key, where there is a sound one (an ok one needs its outcome)."""
        try:
            record = _read_record(self._record_path(key))
            if record.status == "ok":
                self._load(record)
        except (FileNotFoundError, ValueError, RequestError):
            return None

        return record

    def records(self) -> Iterator[CellRecord]:
        """All records, in the order in which the configuration lists the values of the axes.

        Raises:
            RequestError: a record is damaged or of another version.
        """
        records = [_read_record(path) for path in (self.path / "cells").glob("*.json")]
        config = self.config()
        axes = [axis for axis in LABELS if axis != "eps"]
        listed = {axis: [str(value) for value in config.get(f"{axis}s", [])] for axis in axes}

        yield from sorted(records, key=lambda record: _position(record.labels, listed))

    def outcome(self, record: CellRecord) -> Outcome:
        """The raw outcome of an ok cell; its file is read once.

        Raises:
            RequestError: it is missing or damaged.
        """
        try:
            return self._load(record)
        except (FileNotFoundError, ValueError) as error:
            path = self._outcome_path(record.key)
            raise RequestError(
                f"the outcome {path} is damaged ({error}): run the same `bench run` again"
            ) from None

    def images(self, record: CellRecord) -> CellImages | None:
        """The first images of a cell, for pictures; None where the run was left without them.

        Raises:
            RequestError: a file of images is damaged.
        """
        if record.key in self._embedded:
            return self._embedded[record.key]

        paths = self._images_path(record.adversarial_set), self._images_path(record.key)
        if not record.adversarial_set or not all(path.is_file() for path in paths):
            return None
        try:
            of_set, of_cell = (read_artifact(path).tensors for path in paths)
            return CellImages(of_set["clean"], of_set["adversarial"], of_cell["purified"])
        except (ValueError, KeyError) as error:
            raise RequestError(
                f"the images {paths[0]} or {paths[1]} are damaged ({error}): "
                "remove both, and the report leaves their pictures out"
            ) from None

    def _save_images(self, record: CellRecord, images: CellImages) -> None:
        """Write the images of an adversarial set once, and what this cell's defense made of them."""
        of_set = self._images_path(record.adversarial_set)
        if not of_set.is_file():
            arrays = {"clean": images.clean, "adversarial": images.adversarial}
            write_artifact(of_set, arrays, {"adversarial_set": record.adversarial_set})

        of_cell = self._images_path(record.key)
        write_artifact(of_cell, {"purified": images.purified}, {"labels": dict(record.labels)})

    def _load(self, record: CellRecord) -> Outcome:
        """The outcome of a cell, from its file at the first call."""
        if record.key not in self._outcomes:
            arrays = read_artifact(self._outcome_path(record.key)).tensors
            self._outcomes[record.key] = Outcome.from_arrays(arrays)

            embedded = CellImages.embedded_in(arrays)
            if embedded is not None:
                self._embedded[record.key] = embedded

        return self._outcomes[record.key]

    def save_timing(self, timing: Timing) -> None:
        """Write raw times."""
        write_json(self._timing_path(timing.subject.key), timing.to_json())

    def timing(self, key: str) -> Timing | None:
        """The times of that key, where there is a sound file of them."""
        try:
            return _read_timing(self._timing_path(key))
        except (FileNotFoundError, RequestError):
            return None

    def timings(self) -> list[Timing]:
        """All raw times.

        Raises:
            RequestError: a file is damaged or of another version.
        """
        found = [_read_timing(path) for path in (self.path / "latency").glob("*.json")]
        return sorted(found, key=lambda timing: _order(timing.subject))

    def _timing_path(self, key: str) -> Path:
        return self.path / "latency" / f"{key[:16]}.json"

    def _record_path(self, key: str) -> Path:
        return self.path / "cells" / f"{key[:16]}.json"

    def _outcome_path(self, key: str) -> Path:
        return self.path / "cells" / f"{key[:16]}.safetensors"

    def _images_path(self, key: str) -> Path:
        return self.path / "images" / f"{key[:16]}.safetensors"


def _read_record(path: Path) -> CellRecord:
    content = _read_object(path)
    try:
        return CellRecord.from_json(content)
    except ValueError as error:
        raise RequestError(f"{path}: {error}") from None


def _position(
    labels: Mapping[str, Any], listed: Mapping[str, list[str]]
) -> list[tuple[int, float, str]]:
    """Where a record stands: listed values as listed, others (and epsilons) by size or name."""
    place = []
    for axis, value in labels.items():
        values = listed.get(axis, [])
        index = values.index(str(value)) if str(value) in values else len(values)
        place.append((index, float(value) if isinstance(value, (int, float)) else 0.0, str(value)))
    return place


def _order(subject: Subject) -> tuple[Any, ...]:
    pipeline = subject.pipeline
    labels = (pipeline.dataset, pipeline.classifier, pipeline.defense)
    return (
        *labels,
        subject.engine,
        subject.precision,
        subject.target,
        subject.batch_size,
        subject.round,
    )


def _read_timing(path: Path) -> Timing:
    content = _read_object(path)
    try:
        return Timing.from_json(content)
    except ValueError as error:
        raise RequestError(f"{path}: {error}") from None


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RequestError(
            f"{path} is damaged ({error}): remove it and run the same `bench run` again"
        ) from None
    if not isinstance(content, dict):
        raise RequestError(f"{path} does not hold a JSON object")
    return content
