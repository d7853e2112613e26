"""Unions of the axes of runs, which do not depend on the order of the runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.spec import Spec

_PARTS = ("datasets", "attacks", "eps")
"""Parts of a restriction."""


def numbers(lists: Iterable[Sequence[Any]]) -> list[Any]:
    """All numbers of some lists: in their own order where all lists are the same, else sorted."""
    given = [list(each) for each in lists]
    if all(each == given[0] for each in given):
        return given[0]

    return sorted({number for each in given for number in each})


def specs(lists: Iterable[Sequence[str]]) -> list[str]:
    """All specs or names of some lists: those of the longest first, each list in its own order."""
    ordered = sorted((list(each) for each in lists), key=lambda each: (-len(each), each))
    return list(dict.fromkeys(itertools.chain.from_iterable(ordered)))


def labels(listed: Iterable[str]) -> list[str]:
    """The specs as tables write them."""
    return [str(Spec.parse(text)) for text in listed]


def given_for(label: str, table: Mapping[str, Any], default: Any) -> Any:
    """What a table of a configuration gives for a plugin, by its spec before its name."""
    return table.get(label, table.get(Spec.parse(label).name, default))


def restrictions(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The restrictions under which a grid has the cells of all runs.

    Args:
        configs: configurations of the runs.
    """
    tables = [config["only"] for config in configs]
    if all(table == tables[0] for table in tables):
        return dict(tables[0])

    networks = [labels([*config["classifiers"], *config["defenses"]]) for config in configs]
    merged = {}
    for label in specs(networks):
        given = [
            given_for(label, table, None)
            for table, listed in zip(tables, networks, strict=True)
            if label in listed
        ]
        if all(each is not None for each in given):
            merged[label] = {part: _part([each.get(part) for each in given]) for part in _PARTS}

    return merged


def _part(given: Sequence[Any]) -> list[Any] | None:
    """The union of a part of restrictions; None, for no restriction, where one run has none."""
    if any(each is None for each in given):
        return None
    return numbers(given)
