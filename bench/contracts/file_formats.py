"""Formats of the files that networks come in, told by their content."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from bench.text import LONGEST_REASON, one_line

Format = Literal["safetensors", "pickle", "torchscript", "exported"]
"""Weights by safetensors or `torch.save`; a network by `torch.jit.save` or `torch.export.save`."""


def format_of(path: Path) -> Format:
    """The format of a file, from its content.

    Raises:
        ValueError: it is none of those that are read here.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] or name for name in archive.namelist()}
        if names & {"archive_format", "serialized_exported_program.json"}:
            return "exported"
        if "constants.pkl" in names:
            return "torchscript"
        if "data.pkl" in names:
            return "pickle"
    # A safetensors file begins with the length of its header, 8 bytes, and the header, in JSON.
    elif start[8:9] == b"{":
        return "safetensors"
    elif start[:1] == b"\x80":  # a pickle, as `torch.save` wrote before PyTorch 1.6
        return "pickle"

    what = "is not a network's file" if start else "is empty"
    raise ValueError(
        f"{path} {what}: it must be by torch.save, safetensors, torch.jit.save or torch.export.save"
    )


def damaged(path: Path, error: Exception) -> ValueError:
    """The error for a file that its reader refuses."""
    return ValueError(f"{path} cannot be loaded: {reason_of(error)}")


def reason_of(error: Exception) -> str:
    """The first lines of a foreign message, in one line."""
    text = one_line(str(error), LONGEST_REASON)
    return text or type(error).__name__
