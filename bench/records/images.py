"""The images of a run: stored once per adversarial set and once per cell, and never needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.records.array_files import (
    check_adversarial_set,
    read_adversarial_set,
    read_purified,
    write_adversarial_set,
    write_purified,
)
from bench.records.cell import CellRecord
from bench.records.cell_images import CellImages
from bench.records.layout import file_name
from bench.store.artifacts import Tensors
from bench.store.remembered import Remembered
from bench.store.tree import Tree


class ImageFiles:
    """Reads and writes the first images of cells, for pictures.

    Args:
        tree: folder of the run.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._sets = Remembered[None]()

    def save(self, record: CellRecord, images: CellImages) -> None:
        """Write the images of an adversarial set, unless sound ones are there, and of the cell.

        Raises:
            StorageError: a file could not be written.
        """
        digest = record.adversarial_set
        if not self._has_set(digest):
            write_adversarial_set(self._writable(digest), digest, images)

        write_purified(self._writable(record.key), record, images)

    def load(self, record: CellRecord) -> CellImages | None:
        """The first images of a cell; None where the run was kept without images.

        Raises:
            ValueError: a file is damaged, or is missing while its counterpart is there.
        """
        of_set = self._of_set(record.adversarial_set)
        path = self._path(record.key)
        of_cell = _read(path, lambda: read_purified(path, record))
        if of_set is None and of_cell is None:
            return None

        if of_set is None or of_cell is None:
            lost = self._path(record.adversarial_set) if of_set is None else path
            raise ValueError(f"{lost} is missing")

        return CellImages(of_set["clean"], of_set["adversarial"], of_cell["purified"])

    def _has_set(self, digest: str) -> bool:
        """Whether sound images of an adversarial set are there; their file is read once."""
        path = self._path(digest)
        try:
            self._sets.of(path, lambda: check_adversarial_set(path, digest))
        except (FileNotFoundError, ValueError):
            return False

        return True

    def _of_set(self, digest: str) -> Tensors | None:
        """The images of an adversarial set; None where there are none."""
        path = self._path(digest)
        return _read(path, lambda: read_adversarial_set(path, digest))

    def _path(self, key: str) -> Path:
        return self._tree.root / "images" / file_name(key, "safetensors")

    def _writable(self, key: str) -> Path:
        return self._tree.path("images", file_name(key, "safetensors"))


def _read(path: Path, read: Callable[[], Tensors]) -> Tensors | None:
    """What a file of images holds; None where there is no file.

    Raises:
        ValueError: the file is damaged; the text names it.
    """
    try:
        return read()
    except FileNotFoundError:
        return None
    except ValueError as damage:
        raise ValueError(f"{path}: {damage}") from None
