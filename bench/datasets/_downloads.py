"""Downloads of the original files of data sets, through torchvision.

Torchvision is imported when a file is missing, because its import takes seconds.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.errors import RequestError
from bench.store.originals import OriginalFile, OriginalSet
from bench.text import one_line


def download(original: OriginalSet, missing: Sequence[OriginalFile], data: Path) -> None:
    """Download the archives of files into the data set's folder, and unpack them there.

    Args:
        original: data set of the files.
        missing: files to download.
        data: folder of all data sets.

    Raises:
        RequestError: a file cannot be downloaded or written.
    """
    folder = original.raw_folder(data)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in missing:
            _download(original.source, file, folder)
    except (OSError, RuntimeError, ValueError) as error:
        archives = ", ".join(file.archive for file in missing)
        raise RequestError(
            f"dataset '{original.dataset}' is not complete in {folder} and cannot be downloaded "
            f"({one_line(str(error)) or type(error).__name__}): put {archives} there, or give "
            "another folder with --data or BENCH_DATA"
        ) from None


def _download(source: str, file: OriginalFile, folder: Path) -> None:
    """Download one archive from the first mirror that has it.

    Another process may do the same, so a file appears under its name once it is complete.
    """
    import torchvision

    dataset = getattr(torchvision.datasets, source)
    md5 = dict(dataset.resources)[file.archive]

    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as partial:
        for index, mirror in enumerate(dataset.mirrors, start=1):
            try:
                _fetch(f"{mirror}{file.archive}", Path(partial), file.archive, md5)
                break
            except (OSError, RuntimeError):
                if index == len(dataset.mirrors):
                    raise

        for name in (file.archive, file.name):
            Path(partial, name).replace(folder / name)


def _fetch(url: str, folder: Path, name: str, md5: str) -> None:
    """Download and unpack an archive, without torchvision's progress bar."""
    from torchvision.datasets.utils import download_and_extract_archive

    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        download_and_extract_archive(url, str(folder), filename=name, md5=md5)
