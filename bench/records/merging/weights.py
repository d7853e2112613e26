"""The trained networks that a merged run was given: those that any of its runs was given."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.records.given_weights import WEIGHTS, are_compatible
from bench.records.merging.refusal import differing


def merged_weights(runs: Mapping[Path, Mapping[str, Any]]) -> dict[str, Any]:
    """The key `weights` of the merged configuration; empty where no run was given networks.

    Args:
        runs: configurations of the runs by folder.

    Raises:
        RequestError: only some of the runs were given networks, two were given different ones, or a
            run of an earlier version does not tell them apart.
    """
    stated = {path: config.get(WEIGHTS) for path, config in runs.items()}
    for (first, known), (second, other) in itertools.combinations(stated.items(), 2):
        if not are_compatible(known, other):
            raise differing(first, second, _difference(known, other))

    given = list(stated.values())
    networks: dict[str, Any] = {}
    for each in given:
        if isinstance(each, Mapping):
            networks.update(each)
    if networks:
        return {WEIGHTS: dict(sorted(networks.items()))}

    return {} if given[0] is None else {WEIGHTS: given[0]}


def _difference(first: Any, second: Any) -> str:
    """What keeps apart the networks that two runs were given, in words."""
    if first is None or second is None:
        with_some = "second" if first is None else "first"
        return f"only the {with_some} was given trained networks (--pretrained or --weights)"
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return "they were given different trained networks of the same key"

    return "they were given different trained networks, as far as the earlier version tells them"
