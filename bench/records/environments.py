"""The environments of a run: each file is named by the digest of its content."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from bench.records.damage import reason_of
from bench.records.layout import raw_files
from bench.store.keys import content_key
from bench.store.reading import MEBIBYTE, Unreadable, read_json
from bench.store.strict import Text, validated
from bench.store.tree import Tree

logger = logging.getLogger("bench")

_DIGITS = 12
"""Number of digits of the digest that are an environment's id."""


class _Device(BaseModel):
    """The device of an environment; other keys may stand beside these."""

    model_config = ConfigDict(strict=True)

    name: Text = "unknown device"


class EnvironmentFacts(BaseModel):
    """The parts of an environment that are shown; other keys may stand beside these.

    Attributes:
        device: the device, with its name.
        packages: versions by name of the package; None for a package that is not installed.
    """

    model_config = ConfigDict(strict=True)

    device: _Device = _Device()
    packages: dict[Text, Text | None] = {}

    @property
    def machine(self) -> str:
        """Device and PyTorch version."""
        return f"{self.device.name}, PyTorch {self.packages.get('torch') or 'unknown'}"


_ENVIRONMENT = TypeAdapter(EnvironmentFacts)


def save_environment(tree: Tree, environment: Mapping[str, Any]) -> str:
    """Write an environment, also in place of a damaged file; returns its id.

    Raises:
        StorageError: the file could not be written.
    """
    name = content_key(environment)[:_DIGITS]
    path = tree.path("environments", f"{name}.json")
    try:
        _read(path)
    except (OSError, ValueError):
        tree.write_json("environments", path.name, content=environment)

    return name


def read_environments(run: Path) -> dict[str, dict[str, Any]]:
    """All sound environments by id; a damaged one is logged and left out, since no number needs it.

    Raises:
        RequestError: the folder holds something else.
    """
    environments = {}
    for path in raw_files(run, "environments", "json"):
        try:
            environments[path.stem] = _read(path)
        except (OSError, ValueError) as damage:
            logger.warning(
                "damaged environment %s: %s; its machine is unknown", path, reason_of(damage)
            )

    return environments


def facts_of(environment: Mapping[str, Any]) -> EnvironmentFacts:
    """The parts of an environment that are shown."""
    return EnvironmentFacts.model_validate(environment)


def _read(path: Path) -> dict[str, Any]:
    """The environment in a file, whose name is its id.

    Raises:
        FileNotFoundError: there is no such file.
        Unreadable: the file is damaged, or another environment than its name says.
        OSError: it cannot be read.
    """
    content = read_json(path, MEBIBYTE)
    validated(_ENVIRONMENT, content)
    if content_key(content)[:_DIGITS] != path.stem:
        raise Unreadable("its content does not match its name")

    environment: dict[str, Any] = content
    return environment
