"""The arrays of an `.npz` file; a large one is unpacked once and then memory-mapped."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import LoadContext
from bench.store.reading import Unreadable, check_regular
from bench.text import one_line

_MOST_BYTES = 1024 * 2**30
"""Largest size in bytes of the file, and of an array in it."""

_LARGE = 2**28
"""Size in bytes from which an array is memory-mapped."""

# A RuntimeError stands for encryption, and for a compression that Python does not know.
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, MemoryError, RuntimeError)
"""Exceptions with which NumPy and `zipfile` report an array that they cannot read."""


def read_arrays(
    path: Path, needed: Sequence[str], optional: Sequence[str], context: LoadContext
) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name.

    Args:
        path: file to read.
        needed: names of arrays that the file must have.
        optional: names of arrays that it may have.
        context: context that keeps large arrays.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not an archive of arrays, lacks one, or is too large.
    """
    check_regular(path, _MOST_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    except _DAMAGES as error:
        raise Unreadable(f"it is not an .npz file ({one_line(str(error))})") from None

    for name in needed:
        if f"{name}.npy" not in sizes:
            raise Unreadable(f"it has no array '{name}' (needed: {', '.join(needed)})")

    present = [name for name in (*needed, *optional) if f"{name}.npy" in sizes]
    try:
        return {name: _array(path, name, sizes, context) for name in present}
    except _DAMAGES as error:
        raise Unreadable(f"an array is damaged ({one_line(str(error))})") from None


def _array(path: Path, name: str, sizes: Mapping[str, int], context: LoadContext) -> NDArray[Any]:
    """An array of a file, memory-mapped if it is large."""
    member = f"{name}.npy"
    if sizes[member] > _MOST_BYTES:
        raise Unreadable(f"array '{name}' has more than {_MOST_BYTES} bytes")

    if sizes[member] < _LARGE:
        # Pickled objects in a stranger's file could run any code.
        with np.load(path, allow_pickle=False) as content:
            array: NDArray[Any] = content[name]
            return array

    def unpack(into: Path) -> None:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(member) as packed,
            into.open("wb") as file,
        ):
            shutil.copyfileobj(packed, file, 2**20)

    found = path.stat()
    key = f"npz {path.resolve()} {found.st_size} {found.st_mtime_ns} {name}"
    return context.prepared(key, unpack)
