"""The merge of folders of runs into one; every number stays the one that was recorded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import RequestError
from bench.records.configuration import is_sealed, replace
from bench.records.folder import RunFolder
from bench.records.layout import check_layout, check_writable
from bench.records.merging.cells import FoundCell, merged_cells
from bench.records.merging.configurations import merged_configuration
from bench.records.merging.timings import MergedTimings, merged_timings
from bench.store.tree import Tree


@dataclass(frozen=True)
class Merge:
    """Runs that can be merged, all read and checked; nothing is written yet.

    Attributes:
        runs: folders of the runs, each once.
        out: folder of the merged run; one of the runs, or new.
        config: configuration of the merged run.
        cells: one record of each cell.
        timings: one timing of each call.
    """

    runs: tuple[RunFolder, ...]
    out: Path
    config: Mapping[str, Any]
    cells: tuple[FoundCell, ...]
    timings: MergedTimings

    @classmethod
    def of(cls, paths: Sequence[Path], out: Path) -> Merge:
        """The merge of some runs.

        Args:
            paths: folders of the runs.
            out: folder of the merged run: new or empty, one of the runs, or an earlier merge of
                the same runs.

        Raises:
            RequestError: a folder is no run, is damaged or of an earlier version; the runs do not
                belong together; or `out` holds something else.
        """
        runs = _opened(paths)
        config = merged_configuration({run.path: run.config() for run in runs})

        if (out / "config.json").exists() and not any(_same(run.path, out) for run in runs):
            earlier = RunFolder.open(out)
            if earlier.config() != config:
                raise RequestError(
                    f"{out} holds another run: name it among the runs to add to it, or choose "
                    "another folder with --out"
                )
            runs = (*runs, earlier)

        return cls(runs, out, config, tuple(merged_cells(runs)), merged_timings(runs))

    def write(self) -> RunFolder:
        """Write the merged run, and return its folder.

        Where it is one of the runs, its configuration comes first, and then what it lacks: killed
        at any point, it is a sound run, and the same merge goes on.

        Raises:
            RequestError: the folder holds something that is none of a run's files.
            StorageError: a file could not be written; what was written before is intact.
        """
        if any(_same(run.path, self.out) for run in self.runs):
            check_layout(self.out)
            check_writable(self.out)
            replace(Tree(self.out), self.config)

        merged = RunFolder.create(self.out, self.config)
        for run in self.runs:
            for environment in run.environments().values():
                merged.save_environment(environment)
        for cell in self.cells:
            if not _same(cell.run.path, self.out):
                _copy(cell, merged)
        for timing in self.timings.kept:
            if merged.timing(timing.call.key) != timing:
                merged.save_timing(timing)

        return merged


def _opened(paths: Sequence[Path]) -> tuple[RunFolder, ...]:
    """The folders of the runs; one that is named twice counts once.

    Raises:
        RequestError: one is no run's folder, or of an earlier version.
    """
    runs: list[RunFolder] = []
    for path in paths:
        run = RunFolder.open(path)
        if not is_sealed(path):
            raise RequestError(f"{path} is a run of an earlier version, which cannot be merged")
        if not any(_same(path, other.path) for other in runs):
            runs.append(run)

    return tuple(runs)


def _copy(cell: FoundCell, merged: RunFolder) -> None:
    """Write a cell of another run, unless the merged run has it."""
    record = cell.record
    if merged.record(record.key) == record:
        return

    is_ok = record.status == "ok"
    merged.save(
        record,
        cell.run.outcome(record) if is_ok else None,
        cell.run.images(record) if is_ok else None,
    )


def _same(first: Path, second: Path) -> bool:
    """Whether two paths lead to the same folder."""
    try:
        return first.samefile(second)
    except OSError:
        return os.path.realpath(first) == os.path.realpath(second)
