"""The form of a configuration that can be merged, of which a file may hold anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from bench.errors import RequestError
from bench.store.reading import Unreadable
from bench.store.strict import Count, NonNegative, SpecText, Text, validated


class _Part(BaseModel):
    """A part of a configuration; other keys may stand beside those that are named."""

    model_config = ConfigDict(strict=True)


class _Restriction(_Part):
    datasets: list[Text] | None = None
    attacks: list[SpecText] | None = None
    eps: list[NonNegative] | None = None


class _Latency(_Part):
    batch_sizes: list[Count]
    engines: list[Text]
    precisions: list[Text]


class _Plugins(_Part):
    format: Count
    classifiers: dict[Text, dict[str, Any]]
    defenses: dict[Text, dict[str, Any]]
    attacks: dict[Text, dict[str, Any]]
    threats: dict[Text, dict[str, Any]]


class _Recorded(_Part):
    datasets: list[SpecText]
    classifiers: list[SpecText]
    defenses: list[SpecText]
    attacks: list[SpecText]
    threats: list[SpecText]
    seeds: list[Count]
    eps: list[NonNegative]
    attack_eps: dict[SpecText, list[NonNegative]]
    only: dict[SpecText, _Restriction]
    latency: _Latency
    plugins: _Plugins
    class_names: dict[Text, list[Text]] = {}
    images: dict[Text, list[Text]] = {}
    weights: Text | dict[Text, Text] | None = None


_RECORDED = TypeAdapter(_Recorded)


def check_mergeable(run: Path, config: Mapping[str, Any]) -> None:
    """Check that a configuration has everything that a merge looks at.

    Args:
        run: folder of the run, for the message.
        config: configuration of the run.

    Raises:
        RequestError: it has not, as that of an earlier version.
    """
    try:
        validated(_RECORDED, dict(config))
    except Unreadable as fault:
        raise RequestError(
            f"{run} cannot be merged: its configuration is damaged, or of an earlier version "
            f"({fault})"
        ) from None
