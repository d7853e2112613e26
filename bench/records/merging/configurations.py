"""The configuration of a merged run: the union of the axes of its runs, equal in everything else.

The order in which the runs are given makes no difference.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.records.given_weights import WEIGHTS
from bench.records.merging.budgets import merged_budgets
from bench.records.merging.identities import merged_plugins
from bench.records.merging.recorded import check_mergeable
from bench.records.merging.refusal import differing
from bench.records.merging.unions import numbers, restrictions, specs
from bench.records.merging.weights import merged_weights
from bench.text import LONGEST_NAME, one_line

Runs = Mapping[Path, Mapping[str, Any]]
"""The configurations of runs by their folders."""

_SPECS = ("datasets", "classifiers", "defenses", "attacks", "threats")
_TIMED: Mapping[str, Callable[[Iterable[Sequence[Any]]], list[Any]]] = {
    "batch_sizes": numbers,
    "engines": specs,
    "precisions": specs,
}
_BY_DATASET = ("class_names", "images")
_MERGED = {
    *(*_SPECS, *_BY_DATASET, "seeds", "eps", "attack_eps", "only", "latency", "plugins"),
    WEIGHTS,
}


def merged_configuration(runs: Runs) -> dict[str, Any]:
    """The configuration of one run that has the cells of all runs.

    Args:
        runs: configurations of the runs, as their folders hold them.

    Raises:
        RequestError: the runs differ in more than their axes; the folders are named.
    """
    for path, config in runs.items():
        check_mergeable(path, config)

    common = _common(runs, lambda config: {k: v for k, v in config.items() if k not in _MERGED})
    configs = list(runs.values())
    by_dataset = {name: _by_dataset(runs, name) for name in _BY_DATASET}

    return {
        **common,
        **{axis: specs(config[axis] for config in configs) for axis in _SPECS},
        "seeds": numbers(config["seeds"] for config in configs),
        **merged_budgets(runs),
        "only": restrictions(configs),
        "latency": _latency(runs),
        "plugins": merged_plugins(runs),
        **{name: values for name, values in by_dataset.items() if values},
        **merged_weights(runs),
    }


def _common(
    runs: Runs, part: Callable[[Mapping[str, Any]], Mapping[str, Any]], prefix: str = ""
) -> dict[str, Any]:
    """A part of the configurations that is the same in all runs.

    Raises:
        RequestError: two runs differ in it.
    """
    (first, config), *others = runs.items()
    expected = part(config)
    for path, other in others:
        found = part(other)
        for key in sorted({*expected, *found}):
            if expected.get(key) != found.get(key):
                raise differing(
                    first,
                    path,
                    f"{prefix}{key} is {_shown(expected.get(key))} in the first and "
                    f"{_shown(found.get(key))} in the second",
                )

    return dict(expected)


def _latency(runs: Runs) -> dict[str, Any]:
    """The settings of the timings, whose lists are joined."""
    settings = [config["latency"] for config in runs.values()]
    common = _common(
        runs,
        lambda config: {k: v for k, v in config["latency"].items() if k not in _TIMED},
        "latency.",
    )

    return {**common, **{k: union(each[k] for each in settings) for k, union in _TIMED.items()}}


def _by_dataset(runs: Runs, name: str) -> dict[str, Any]:
    """What is stated for each data set, which must be the same in all runs that have it.

    Raises:
        RequestError: two runs state something else for a data set.
    """
    stated: dict[str, tuple[Path, Any]] = {}
    for (path, config), dataset in itertools.product(
        runs.items(), specs(config["datasets"] for config in runs.values())
    ):
        if dataset not in config["datasets"]:
            continue
        value = config.get(name, {}).get(dataset)
        first, expected = stated.setdefault(dataset, (path, value))
        if value != expected:
            what = f"{name.replace('_', ' ')} of {one_line(dataset, LONGEST_NAME)}"
            raise differing(first, path, f"they have other {what}")

    return {dataset: value for dataset, (_, value) in stated.items() if value is not None}


def _shown(value: Any) -> str:
    return "not given" if value is None else one_line(json.dumps(value), LONGEST_NAME)
