"""The identities of the plugins of a merged run: the same spec is the same code in all runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.records.changes import changed_parts
from bench.records.merging.refusal import differing
from bench.records.merging.unions import specs
from bench.text import LONGEST_NAME, one_line

_FAMILIES = ("classifiers", "defenses", "attacks", "threats")

_OBSERVED = "observed"
"""Part of an identity that holds, by data set, what shows while a network is built."""


def merged_plugins(runs: Mapping[Path, Mapping[str, Any]]) -> dict[str, Any]:
    """The key `plugins` of the merged configuration.

    Args:
        runs: configurations of the runs by folder.

    Raises:
        RequestError: two runs have other code or parameters under the same spec, or cells of
            different versions.
    """
    (first, config), *others = runs.items()
    version = config["plugins"].get("format")
    for path, other in others:
        if other["plugins"].get("format") != version:
            raise differing(first, path, "their cells are of different versions")

    datasets = specs(config["datasets"] for config in runs.values())
    return {
        "format": version,
        **{family: _of_family(runs, family, datasets) for family in _FAMILIES},
    }


def _of_family(
    runs: Mapping[Path, Mapping[str, Any]], family: str, datasets: list[str]
) -> dict[str, Any]:
    """The identities of a family by spec.

    Raises:
        RequestError: two runs have different identities under one spec.
    """
    merged: dict[str, tuple[Path, Any]] = {}
    for path, config in runs.items():
        for label, identity in config["plugins"].get(family, {}).items():
            first, known = merged.setdefault(label, (path, identity))
            if _without_observed(known) != _without_observed(identity):
                what = ", ".join(dict.fromkeys(changed_parts(known, identity))) or "its parameters"
                name = f"{family.removesuffix('s')} {one_line(label, LONGEST_NAME)}"
                raise differing(first, path, f"{name} is another one ({what})")
            try:
                merged[label] = (first, _joined(known, identity, datasets))
            except ValueError as fault:
                raise differing(first, path, f"{one_line(label, LONGEST_NAME)} {fault}") from None

    return {label: identity for label, (_, identity) in merged.items()}


def _without_observed(identity: Any) -> Any:
    """The identity without what shows for single data sets, also in that of a substitute."""
    if not isinstance(identity, Mapping):
        return identity
    return {k: _without_observed(v) for k, v in identity.items() if k != _OBSERVED}


def _joined(known: Any, identity: Any, datasets: list[str]) -> Any:
    """Two identities of the same plugin, with what shows for the data sets of both.

    Raises:
        ValueError: something else shows for the same data set.
    """
    if not isinstance(known, Mapping) or not isinstance(identity, Mapping):
        return known

    joined = {key: _joined(known[key], identity[key], datasets) for key in known if key in identity}
    tables = [each[_OBSERVED] for each in (known, identity) if _OBSERVED in each]
    if not tables:
        return joined

    for first, second in itertools.pairwise(tables):
        for dataset in set(first) & set(second):
            if first[dataset] and second[dataset] and first[dataset] != second[dataset]:
                raise ValueError("loads another file")
    observed = {dataset: {} for dataset in datasets} | {k: v for t in tables for k, v in t.items()}

    return {**joined, _OBSERVED: observed}
