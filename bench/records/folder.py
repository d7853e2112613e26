"""The folder of a run: its configuration, environments, and records of cells and timings.

config.json              resolved configuration
environments/<id>.json   versions and device; every record names the one it was computed in
cells/<key>.json         record of a cell: status, reason, labels, parameters
cells/<key>.safetensors  raw outcome of a cell that is ok, image by image
images/<key>.safetensors first images of an adversarial set, and those of a cell after purification
latency/<key>.json       record of a timing, with the raw seconds of each call
tables/, plots/          derived files, which `bench report` makes again
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from bench.errors import RequestError
from bench.records.cell import LABELS, CellRecord
from bench.records.outcome import CellImages, Outcome
from bench.records.record_files import read_object, read_record, read_timing
from bench.records.timing import TimedCall, Timing
from bench.store.artifacts import Tensors, read_artifact, write_artifact
from bench.store.atomic import is_partial, sweep_partials, write_json
from bench.store.keys import content_key

logger = logging.getLogger("bench")


class RunFolder:
    """Reads and writes the folder of a run; every file is written atomically.

    Args:
        path: folder of the run; `create` and `open` check what is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._outcomes: dict[str, Outcome] = {}
        self._embedded_images: dict[str, CellImages] = {}
        self._images: dict[str, Tensors] = {}

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> Self:
        """The folder for a run of this configuration, made where it does not exist.

        Raises:
            RequestError: the folder holds a run of another configuration, or something else.
            StorageError: the folder cannot be written.
        """
        folder = cls(path)
        stored = path / "config.json"

        if stored.is_file():
            if folder.config() != json.loads(json.dumps(config)):
                raise RequestError(
                    f"{path} holds a run of another configuration: choose another folder with --out"
                )
        elif _is_something_else(path):
            raise RequestError(
                f"{path} exists and is not a run's folder: choose another folder with --out"
            )
        else:
            write_json(stored, config)

        sweep_partials(path)
        return folder

    @classmethod
    def open(cls, path: Path) -> Self:
        """The folder of an existing run.

        Raises:
            RequestError: the folder holds no run.
        """
        if not (path / "config.json").is_file():
            raise RequestError(f"{path} is not a run's folder (it has no config.json)")
        return cls(path)

    def config(self) -> dict[str, Any]:
        """The resolved configuration of the run."""
        return read_object(self.path / "config.json")

    def save_environment(self, environment: Mapping[str, Any]) -> str:
        """Write an environment; returns its id."""
        name = content_key(environment)[:12]
        path = self.path / "environments" / f"{name}.json"
        if not path.is_file():
            write_json(path, environment)

        return name

    def environments(self) -> dict[str, dict[str, Any]]:
        """All environments by id."""
        paths = sorted((self.path / "environments").glob("*.json"))
        return {path.stem: read_object(path) for path in paths}

    def machines(self) -> dict[str, str]:
        """Device and PyTorch version of each environment, as text by id."""
        return {name: _machine(content) for name, content in self.environments().items()}

    def save(
        self, record: CellRecord, outcome: Outcome | None, images: CellImages | None = None
    ) -> None:
        """Write a cell: its images, then its outcome, then the record, which never lacks them.

        Args:
            record: record of the cell.
            outcome: raw outcome; None where the cell is not ok.
            images: first images, for pictures.

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
        """The record of that key; None where it or its outcome is missing or damaged."""
        try:
            record = read_record(self._record_path(key))
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
        records = [read_record(path) for path in (self.path / "cells").glob("*.json")]
        config = self.config()
        axes = [axis for axis in LABELS if axis != "eps"]
        listed = {axis: [str(value) for value in config.get(f"{axis}s", [])] for axis in axes}

        yield from sorted(records, key=lambda record: _record_order(record.labels, listed))

    def outcome(self, record: CellRecord) -> Outcome:
        """The raw outcome of an ok cell; its file is read once.

        Raises:
            RequestError: the file is missing or damaged.
        """
        try:
            return self._load(record)
        except (FileNotFoundError, ValueError) as error:
            path = self._outcome_path(record.key)
            raise RequestError(
                f"the outcome {path} is damaged ({error}): run the same `bench run` again"
            ) from None

    def images(self, record: CellRecord) -> CellImages | None:
        """The first images of a cell, for pictures; None where the folder holds no sound ones.

        Pictures decide nothing, so damaged images are logged and left out.

        Raises:
            RequestError: the outcome of a run of version 0.1.0, which holds the images, is damaged.
        """
        if not record.adversarial_set:
            self.outcome(record)
            return self._embedded_images.get(record.key)

        of_set = self._stored_images(record.adversarial_set)
        of_cell = self._stored_images(record.key)
        try:
            return CellImages(of_set["clean"], of_set["adversarial"], of_cell["purified"])
        except KeyError:
            return None

    def _stored_images(self, key: str) -> Tensors:
        """The images of an adversarial set or of a cell; none where their file is not sound."""
        if key not in self._images:
            path = self._images_path(key)
            self._images[key] = {}
            try:
                self._images[key] = read_artifact(path).tensors
            except FileNotFoundError:
                pass
            except ValueError as damage:
                logger.warning("damaged images %s: %s; their pictures are left out", path, damage)

        return self._images[key]

    def save_timing(self, timing: Timing) -> None:
        """Write the record of a timing."""
        write_json(self._timing_path(timing.call.key), timing.to_json())

    def timing(self, key: str) -> Timing | None:
        """The timing of the call of that key; None where there is none, or a damaged one."""
        try:
            return read_timing(self._timing_path(key))
        except (FileNotFoundError, RequestError):
            return None

    def timings(self) -> list[Timing]:
        """All timings, ordered by pipeline, engine, precision, target, batch size and round.

        Raises:
            RequestError: a file is damaged or of another version.
        """
        timings = [read_timing(path) for path in (self.path / "latency").glob("*.json")]
        return sorted(timings, key=lambda timing: _timing_order(timing.call))

    def _save_images(self, record: CellRecord, images: CellImages) -> None:
        """Write the images of an adversarial set once, and the purified images of this cell."""
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
                self._embedded_images[record.key] = embedded

        return self._outcomes[record.key]

    def _timing_path(self, key: str) -> Path:
        return self.path / "latency" / f"{key[:16]}.json"

    def _record_path(self, key: str) -> Path:
        return self.path / "cells" / f"{key[:16]}.json"

    def _outcome_path(self, key: str) -> Path:
        return self.path / "cells" / f"{key[:16]}.safetensors"

    def _images_path(self, key: str) -> Path:
        return self.path / "images" / f"{key[:16]}.safetensors"


def _is_something_else(path: Path) -> bool:
    """Whether the path holds more than temporary files of a run that was killed at its start."""
    if not path.exists():
        return False
    return not path.is_dir() or any(not is_partial(entry) for entry in path.iterdir())


def _machine(environment: Mapping[str, Any]) -> str:
    device = environment.get("device", {}).get("name", "unknown device")
    return f"{device}, PyTorch {environment.get('packages', {}).get('torch', 'unknown')}"


def _record_order(
    labels: Mapping[str, Any], listed: Mapping[str, list[str]]
) -> list[tuple[int, float, str]]:
    """The sort key of a record: listed values in their order, then others by size or name."""
    order = []
    for axis, value in labels.items():
        values = listed.get(axis, [])
        index = values.index(str(value)) if str(value) in values else len(values)
        size = float(value) if isinstance(value, (int, float)) else 0.0
        order.append((index, size, str(value)))

    return order


def _timing_order(call: TimedCall) -> tuple[Any, ...]:
    pipeline = call.pipeline
    labels = (pipeline.dataset, pipeline.classifier, pipeline.defense)

    return (*labels, call.engine, call.precision, call.target, call.batch_size, call.round)
