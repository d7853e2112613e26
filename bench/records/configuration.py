"""The configuration of a run, which its folder belongs to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from bench.errors import RequestError
from bench.records.damage import damage_refused
from bench.records.given_weights import WEIGHTS, are_compatible
from bench.records.layout import holds_other_files
from bench.store.reading import MEBIBYTE, Unreadable
from bench.store.sealed import SealedFormat
from bench.store.strict import Count, NonNegative, Text, validated
from bench.store.tree import Tree

CONFIGURATION = SealedFormat(1, (None,), most=MEBIBYTE)
"""The form of a run's configuration. Without a version: before the file was sealed."""

FILE = "config.json"

_ELSEWHERE = "choose another folder with --out"


class _Axes(BaseModel):
    """The axes of a configuration, which order the tables, and the names of classes by data set.

    Other keys may stand beside these.
    """

    model_config = ConfigDict(strict=True)

    datasets: list[Text] = []
    classifiers: list[Text] = []
    defenses: list[Text] = []
    attacks: list[Text] = []
    eps: list[NonNegative] = []
    threats: list[Text] = []
    seeds: list[Count] = []
    class_names: dict[Text, list[Text]] = {}


_AXES = TypeAdapter(_Axes)

_ORDERED = frozenset(_Axes.model_fields) - {"class_names"}
"""Keys of the axes, whose order decides that of the tables and nothing else."""


def read_configuration(run: Path) -> dict[str, Any]:
    """The configuration of a run, without version and seal.

    Raises:
        RequestError: there is none, or its file is damaged.
    """
    path = run / FILE
    with damage_refused(path, "restore it, or start the run again in another folder"):
        try:
            return _read(path)
        except (FileNotFoundError, NotADirectoryError):
            raise RequestError(f"{run} is not a run's folder (it has no {FILE})") from None


def is_sealed(run: Path) -> bool:
    """Whether the configuration of a run has a seal, so that all its records have one."""
    try:
        return "schema" in CONFIGURATION.read(run / FILE)
    except (OSError, ValueError):  # reading the configuration itself says what is wrong
        return False


def claim(tree: Tree, config: Mapping[str, Any]) -> None:
    """Write the configuration of a run to its folder, or check that it is the one there.

    Raises:
        RequestError: the folder holds a run of another configuration, or something else, or the
            configuration could not be read back.
        StorageError: the folder cannot be written.
    """
    stored = json.loads(json.dumps(config))
    try:
        validated(_AXES, stored)
    except Unreadable as fault:
        raise RequestError(f"the configuration of this run cannot be stored: {fault}") from None

    with damage_refused(tree.root / FILE, _ELSEWHERE):
        exists = (tree.root / FILE).exists()
        foreign = not exists and holds_other_files(tree.root)
    if foreign:
        raise RequestError(f"{tree.root} exists and is not a run's folder: {_ELSEWHERE}")

    if not exists:
        CONFIGURATION.write(tree, FILE, content=stored)
    elif not _are_of_one_run(read_configuration(tree.root), stored):
        raise RequestError(f"{tree.root} holds a run of another configuration: {_ELSEWHERE}")


def replace(tree: Tree, config: Mapping[str, Any]) -> None:
    """Write another configuration over that of a run, whose cells are among those of the new one.

    Raises:
        StorageError: the file cannot be written; the earlier one is intact.
    """
    CONFIGURATION.write(tree, FILE, content=config)


def _are_of_one_run(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two configurations may have one folder, whose tables have the order of the first."""
    are_equal = _without_order(first) == _without_order(second)
    return are_equal and are_compatible(first.get(WEIGHTS), second.get(WEIGHTS))


def _without_order(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without its weights, with the values of each axis in one order."""
    return {
        key: sorted(value) if key in _ORDERED else value
        for key, value in config.items()
        if key != WEIGHTS
    }


def _read(path: Path) -> dict[str, Any]:
    """The configuration in a file.

    Raises:
        FileNotFoundError: there is no such file.
        Unreadable: the file is damaged, or holds something else.
        OSError: it cannot be read.
    """
    content = CONFIGURATION.read(path)
    has_schema = content.pop("schema", None) is not None
    if not has_schema and not set(content) >= _ORDERED:
        raise Unreadable("it is not the configuration of a run")
    validated(_AXES, content)

    return content
