"""The context in which a data set is loaded: its folder, progress, and arrays made once."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.progress import Reporter

_PREPARED = "prepared"
"""Folder of the arrays, below that of all data sets."""


class LoadingContext:
    """The harness's implementation of `bench.contracts.LoadContext`.

    Args:
        title: title of the progress bar.
        folder: folder of all data sets.
        progress: reporter that shows the steps.

    Attributes:
        folder: folder of all data sets.
    """

    def __init__(self, title: str, folder: Path, progress: Reporter) -> None:
        self.folder = folder
        self._title = title
        self._progress = progress

    def steps(self, total: int) -> Iterator[int]:
        """See `LoadContext.steps`."""
        with self._progress.step(self._title, total) as step:
            for number in range(1, total + 1):
                yield number
                step.advance(1)

    def prepared(self, key: str, write: Callable[[Path], None]) -> NDArray[Any]:
        """See `LoadContext.prepared`."""
        folder = self.folder / _PREPARED
        path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
                made = Path(partial, path.name)
                write(made)
                made.replace(path)  # whole or absent, also if another process makes the same

        # Copies on write, so that whoever writes into the array leaves the file as it is.
        array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
        return array
