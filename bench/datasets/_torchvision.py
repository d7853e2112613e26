"""Data sets of torchvision, which are downloaded on first use."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from bench.text import LONGEST_LINE, one_line


def fetched(name: str, folder: Path, **options: Any) -> Any:
    """A data set of `torchvision.datasets`, downloaded into a folder where it is not there.

    Args:
        name: name of the class in `torchvision.datasets`.
        folder: folder that torchvision calls `root`.
        options: further arguments of the class.

    Raises:
        ValueError: it is not there and cannot be downloaded, or a file is damaged.
    """
    import torchvision  # its import takes seconds

    output = io.StringIO()  # in place of torchvision's own progress bar
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            return getattr(torchvision.datasets, name)(str(folder), download=True, **options)
    except (OSError, RuntimeError, EOFError) as error:
        reason = one_line(str(error), LONGEST_LINE) or type(error).__name__
        raise ValueError(
            f"{name} is not complete in {folder} and cannot be downloaded ({reason}): put its "
            "files there, or give another folder with --data or BENCH_DATA"
        ) from None
