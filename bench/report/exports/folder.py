"""The folder of an export, with a file that names its format."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from bench.errors import RequestError
from bench.store.atomic import is_partial
from bench.store.reading import MEBIBYTE, Unreadable, read_json
from bench.store.strict import Name, StrictModel, validated
from bench.store.tree import Tree

_FILE = "export.json"


class _Export(StrictModel):
    """What the folder of an export says of itself.

    Attributes:
        version: version of this file.
        format: name of the format.
    """

    version: Literal[1] = 1
    format: Name


_EXPORT = TypeAdapter(_Export)


def claim(folder: Path, form: str) -> Tree:
    """The files of a folder for an export in a format; nothing is written yet.

    Raises:
        RequestError: the folder holds an export in another format, or something else.
    """
    if (folder / _FILE).is_file():
        earlier = _format_of(folder)
        if earlier != form:
            raise RequestError(
                f"{folder} holds an export in the format {earlier}, not {form}: choose another"
            )
    elif folder.is_dir() and any(not is_partial(path) for path in folder.iterdir()):
        raise RequestError(f"{folder} exists and is no export in the format {form}: choose another")

    return Tree(folder)


def mark(tree: Tree, form: str) -> None:
    """Write the file that names the format, before anything else of an export.

    Raises:
        StorageError: the file cannot be written.
    """
    tree.write_json(_FILE, content=_Export(format=form).model_dump())


def _format_of(folder: Path) -> str:
    """The format that the file of an export names."""
    try:
        return validated(_EXPORT, read_json(folder / _FILE, MEBIBYTE)).format
    except (OSError, Unreadable) as fault:
        raise RequestError(f"{folder / _FILE}: {fault}: choose another folder") from None
