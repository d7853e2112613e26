"""The folder of a run: its configuration, environments, and records of cells and timings.

config.json              resolved configuration
environments/<id>.json   versions and device; every record names the one it was computed in
cells/<key>.json         record of a cell: status, reason, labels, parameters
cells/<key>.safetensors  raw outcome of a cell that is ok, image by image
images/<key>.safetensors first images of an adversarial set, and those of a cell after purification
latency/<key>.json       record of a timing, with the raw seconds of each call
tables/, plots/          derived files, which `bench report` makes again

Every raw file is sealed and states the key that it is named by, so that a file that was changed,
or that lies in another's place, is not taken for sound.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from bench.records.array_files import check_outcome, read_outcome, write_outcome
from bench.records.cell import CellRecord
from bench.records.cell_images import CellImages
from bench.records.configuration import claim, is_sealed, read_configuration
from bench.records.damage import damage_refused, reason_of, set_aside_damaged
from bench.records.distinct import check_distinct, check_recordable
from bench.records.environments import facts_of, read_environments, save_environment
from bench.records.images import ImageFiles
from bench.records.layout import check_layout, check_writable, file_name, raw_files
from bench.records.order import in_order, timings_in_order
from bench.records.outcome import Outcome
from bench.records.record_files import CELLS, TIMINGS, read_record, read_timing
from bench.records.timing import Timing
from bench.store.atomic import sweep_partials
from bench.store.reading import Unreadable
from bench.store.remembered import Remembered
from bench.store.tree import Tree

logger = logging.getLogger("bench")


class RunFolder:
    """Reads and writes the folder of a run; every file is written atomically.

    Args:
        path: folder of the run; `create` and `open` check what is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tree = Tree(path)
        self._images = ImageFiles(self._tree)
        self._records = Remembered[CellRecord]()
        self._outcomes = Remembered[None]()

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> Self:
        """The folder for a run of this configuration, made where it does not exist.

        Damaged records are set aside as hidden files, so that their cells are computed again.

        Raises:
            RequestError: the folder holds a run of another configuration, or something else.
            StorageError: the folder cannot be written.
        """
        folder = cls(path)
        claim(folder._tree, config)

        sweep_partials(path)
        folder._prepare()
        return folder

    @classmethod
    def open(cls, path: Path) -> Self:
        """The folder of an existing run.

        Raises:
            RequestError: the folder holds no run, or files that are none of a run's.
        """
        folder = cls(path)
        folder.config()
        check_layout(path)

        return folder

    def config(self) -> dict[str, Any]:
        """The resolved configuration of the run.

        Raises:
            RequestError: there is none, or its file is damaged.
        """
        return read_configuration(self.path)

    def save_environment(self, environment: Mapping[str, Any]) -> str:
        """Write an environment, see `bench.records.environments`; returns its id."""
        return save_environment(self._tree, environment)

    def environments(self) -> dict[str, dict[str, Any]]:
        """All environments by id; a damaged one is logged and left out."""
        return read_environments(self.path)

    def machines(self) -> dict[str, str]:
        """Device and PyTorch version of each environment, as text by id."""
        return {name: facts_of(content).machine for name, content in self.environments().items()}

    def check_cells(self, cells: Mapping[str, Mapping[str, Any]]) -> None:
        """Check, before any cell is computed, that the records will stand beside those here.

        Args:
            cells: labels of the run's cells by key.

        Raises:
            RequestError: a label cannot be stored, or the folder has a record of the same labels
                that was computed from something else, or one of no cell of the run.
        """
        check_recordable(cells, self.records(), self.path / "cells")

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
            self._images.save(record, images)
        if outcome is not None:
            path = self._tree.path("cells", file_name(record.key, "safetensors"))
            write_outcome(path, record, outcome)
            self._outcomes.of(path, lambda: None)

        CELLS.write(self._tree, "cells", file_name(record.key, "json"), content=record.to_json())

    def record(self, key: str) -> CellRecord | None:
        """The record of that key; None where it or its outcome is missing or damaged."""
        try:
            record = self._read_record(self._path("cells", key))
            if record.status == "ok":
                self._check_outcome(record)
        except (OSError, ValueError):
            return None

        return record

    def records(self) -> list[CellRecord]:
        """All records, in the order in which the configuration lists the values of the axes.

        Raises:
            RequestError: a record is damaged, of another version, or the second of one cell.
        """
        records = []
        for path in raw_files(self.path, "cells", "json"):
            with damage_refused(path):
                records.append(self._read_record(path))
        check_distinct(records, self.path / "cells")

        return in_order(records, self.config())

    def outcome(self, record: CellRecord) -> Outcome:
        """The raw outcome of an ok cell, read from its file: a run may have more than memory holds.

        Raises:
            RequestError: the file is missing, damaged, or the outcome of another cell.
        """
        with damage_refused(self._path("cells", record.key, "safetensors")):
            return self._load(record)[0]

    def images(self, record: CellRecord) -> CellImages | None:
        """The first images of a cell, for pictures; None where the folder holds no sound ones.

        Pictures decide nothing, so damaged images are logged and left out.

        Raises:
            RequestError: the outcome of a run of version 0.1.0, which holds the images, is damaged.
        """
        if not record.adversarial_set:
            with damage_refused(self._path("cells", record.key, "safetensors")):
                self._check_outcome(record)
        try:
            return self._sound_images(record)
        except ValueError as damage:
            logger.warning("damaged images: %s; their pictures are left out", damage)
            return None

    def save_timing(self, timing: Timing) -> None:
        """Write the record of a timing.

        Raises:
            StorageError: the file could not be written.
        """
        name = file_name(timing.call.key, "json")
        TIMINGS.write(self._tree, "latency", name, content=timing.to_json())

    def timing(self, key: str) -> Timing | None:
        """The timing of the call of that key; None where there is none, or a damaged one."""
        try:
            return self._read_timing(self._path("latency", key))
        except (OSError, ValueError):
            return None

    def timings(self) -> list[Timing]:
        """All timings, ordered by pipeline, engine, precision, target, batch size and round.

        Raises:
            RequestError: a file is damaged or of another version.
        """
        timings = []
        for path in raw_files(self.path, "latency", "json"):
            with damage_refused(path):
                timings.append(self._read_timing(path))

        return timings_in_order(timings)

    def _prepare(self) -> None:
        """Check what lies in the folder before anything is computed, and set aside damaged files.

        Raises:
            RequestError: there is something that is no file of a run, or two records of one cell.
            StorageError: a damaged file cannot be set aside.
        """
        check_layout(self.path)
        check_writable(self.path)

        set_aside_damaged(raw_files(self.path, "cells", "json"), self._check_cell)
        set_aside_damaged(raw_files(self.path, "latency", "json"), self._read_timing)
        self.records()

    def _check_cell(self, path: Path) -> None:
        """Check the files of a cell.

        Raises:
            ValueError: one of them is missing or damaged.
            OSError: one of them cannot be read.
        """
        record = self._read_record(path)
        if record.status != "ok":
            return

        try:
            self._check_outcome(record)
        except (FileNotFoundError, ValueError) as damage:
            outcome = file_name(record.key, "safetensors")
            raise Unreadable(f"its outcome {outcome}: {reason_of(damage)}") from None
        self._sound_images(record)

    @cached_property
    def _is_sealed(self) -> bool:
        """Whether every record of the run has a seal; those of earlier versions have none."""
        return is_sealed(self.path)

    def _read_record(self, path: Path) -> CellRecord:
        return self._records.of(path, lambda: read_record(path, sealed=self._is_sealed))

    def _read_timing(self, path: Path) -> Timing:
        return read_timing(path, sealed=self._is_sealed)

    def _check_outcome(self, record: CellRecord) -> None:
        """Check the outcome of a cell, see `check_outcome`; its file is read once."""
        path = self._path("cells", record.key, "safetensors")
        self._outcomes.of(path, lambda: check_outcome(path, record))

    def _load(self, record: CellRecord) -> tuple[Outcome, CellImages | None]:
        """The outcome of a cell, and the images that version 0.1.0 kept in the same file."""
        return read_outcome(self._path("cells", record.key, "safetensors"), record)

    def _sound_images(self, record: CellRecord) -> CellImages | None:
        """The first images of a cell; None where the run was kept without images.

        Raises:
            ValueError: they are damaged.
        """
        images = self._images.load(record) if record.adversarial_set else self._load(record)[1]
        if images is not None:
            images.check()

        return images

    def _path(self, folder: str, key: str, ending: str = "json") -> Path:
        return self.path / folder / file_name(key, ending)
