"""Checks of the names in a configuration, so that a typing error is reported and not ignored."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts import Attack
from bench.errors import RequestError, unknown
from bench.plugins.configured import Configured
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES
from bench.run.config import RunConfig
from bench.spec import Spec
from bench.stages.datasets import dataset_names


def check_names(config: RunConfig) -> None:
    """Check that all names of data sets and all names inside the tables are known.

    Raises:
        RequestError: a name is unknown.
    """
    for dataset in config.datasets:
        _check_dataset(dataset)
    _check_parameters(config)
    _check_attack_eps(config)
    _check_only(config)


def check_attack_specs(config: RunConfig, attacks: Sequence[Configured[Attack]]) -> None:
    """Check that every spec with parameters under `attack_eps` is one of the grid's attacks.

    Raises:
        RequestError: a spec is not among the attacks in the same spelling.
    """
    labels = [attack.label for attack in attacks]
    for name in config.attack_eps:
        if ":" in name and name not in labels:
            raise unknown("attack that budgets are given for:", name, labels)


def check_budgets(attack: Configured[Attack], budgets: Sequence[float]) -> None:
    """Check that budgets are within the range of a pixel where that is their unit.

    Raises:
        RequestError: a budget is above 1 in the norm of the largest change, or as a share.
    """
    norm = attack.plugin.ball()
    for eps in budgets:
        if eps > 1 and norm in (None, "linf"):
            unit = norm or "a share"
            raise RequestError(f"--eps {eps:g}: attack '{attack.label}' takes at most 1 ({unit})")


def _check_dataset(name: str) -> None:
    if name not in dataset_names():
        raise unknown("dataset", name, dataset_names())


def _check_parameters(config: RunConfig) -> None:
    names = [name for registry in (DEFENSES, ATTACKS, CLASSIFIERS) for name in registry]
    for name in config.parameters:
        if name not in names:
            raise unknown("plugin under [parameters]:", name, names)


def _check_attack_eps(config: RunConfig) -> None:
    for name in config.attack_eps:
        if Spec.parse(name).name not in ATTACKS:
            raise unknown("attack in the budgets (--eps NAME=VALUE, [attack_eps]):", name, ATTACKS)


def _check_only(config: RunConfig) -> None:
    names = [*CLASSIFIERS, *DEFENSES]
    for name, restriction in config.only.items():
        if Spec.parse(name).name not in names:
            raise unknown("classifier or defense under [only]:", name, names)
        for dataset in restriction.datasets or ():
            _check_dataset(dataset)
        for attack in restriction.attacks or ():
            if Spec.parse(attack).name not in ATTACKS:
                raise unknown("attack under [only]:", attack, ATTACKS)
