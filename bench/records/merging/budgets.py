"""The budgets of a merged run: for each attack those of all runs that have it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.records.merging.refusal import differing
from bench.records.merging.unions import given_for, labels, numbers, specs

_CASCADE = "cascade"
"""Name under which a configuration gives the budgets of the threat model `adaptive`."""


def merged_budgets(runs: Mapping[Path, Mapping[str, Any]]) -> dict[str, Any]:
    """The keys `eps` and `attack_eps` of the merged configuration.

    Args:
        runs: configurations of the runs by folder.

    Raises:
        RequestError: only some of the runs give a cascade budgets of its own.
    """
    configs = list(runs.values())
    given = [{"eps": config["eps"], "attack_eps": config["attack_eps"]} for config in configs]
    if all(each == given[0] for each in given):
        return given[0]

    eps = numbers(config["eps"] for config in configs)
    own = {}
    for attack in specs(labels(config["attacks"]) for config in configs):
        budgets = numbers(
            given_for(attack, config["attack_eps"], config["eps"])
            for config in configs
            if attack in labels(config["attacks"])
        )
        if budgets != eps:
            own[attack] = budgets

    return {"eps": eps, "attack_eps": {**own, **_of_cascade(runs)}}


def _of_cascade(runs: Mapping[Path, Mapping[str, Any]]) -> dict[str, Any]:
    """The budgets of the cascade alone; empty where it has those of the attacks."""
    cascades = {
        path: config["attack_eps"].get(_CASCADE)
        for path, config in runs.items()
        if _CASCADE in config["plugins"].get("attacks", {})
    }
    own = [budgets for budgets in cascades.values() if budgets]
    if own and len(own) < len(cascades):
        with_own = next(path for path, budgets in cascades.items() if budgets)
        without = next(path for path, budgets in cascades.items() if not budgets)
        raise differing(
            with_own, without, f"only the first gives budgets to the cascade (--eps {_CASCADE}=...)"
        )

    return {_CASCADE: numbers(own)} if own else {}
