"""Checks of the names in a configuration, so that a typing error is reported and not ignored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from bench.contracts import Attack
from bench.errors import RequestError, unknown
from bench.latency.engines import engines_of, precisions_of
from bench.plugins.configured import Configured
from bench.plugins.packages import FAMILIES
from bench.registry import REGISTRIES
from bench.spec import Spec
from bench.stages.cascade_budgets import CASCADE
from bench.stages.threats import THREATS
from bench.sweep.config import RunConfig
from bench.text import LONGEST_NAME, one_line

PluginNames = Mapping[str, Collection[str]]
"""Names of the plugins that there are, by family."""


def check_names(config: RunConfig) -> None:
    """Check that every name in a configuration is known; all plugins must be imported.

    Raises:
        RequestError: a name is unknown.
    """
    check_fixed_names(config)
    check_plugin_names(config, REGISTRIES)


def check_fixed_names(config: RunConfig) -> None:
    """Check the names that no plugin adds to.

    Raises:
        RequestError: a threat model, engine or precision is unknown, or a data set is the bare path
            of a file or folder.
    """
    for datasets in _datasets(config):
        _check_no_path(datasets)
    _check_specs("threat model", config.threats, THREATS)

    engines_of(config.latency.engines)
    precisions_of(config.latency.precisions)


def _datasets(config: RunConfig) -> list[Collection[str]]:
    """The data sets of the grid, and those of each restriction."""
    return [config.datasets, *(given.datasets or () for given in config.only.values())]


def _check_no_path(datasets: Collection[str]) -> None:
    """Check that no data set is given as the bare path of a file or folder."""
    for dataset in datasets:
        shown = one_line(dataset, LONGEST_NAME)
        if dataset.endswith(".npz") and ":" not in dataset:
            raise RequestError(f"dataset '{shown}' is a file: write npz:file={shown}")
        if "/" in dataset and ":" not in dataset:
            raise RequestError(f"dataset '{shown}' is a folder: write images:path={shown}")


def check_plugin_names(config: RunConfig, plugins: PluginNames) -> None:
    """Check the names of plugins, on the axes of the grid and inside the tables.

    Args:
        config: configuration to check.
        plugins: names of the plugins that there are.

    Raises:
        RequestError: a plugin is unknown.
    """
    attacks = plugins["attack"]
    for datasets in _datasets(config):
        _check_specs("dataset", datasets, plugins["dataset"])
    _check_specs("classifier", config.classifiers, plugins["classifier"])
    _check_specs("defense", config.defenses, plugins["defense"])
    _check_specs("attack", config.attacks, attacks)

    names = [name for family in FAMILIES for name in plugins[family]]
    _check("plugin under [parameters]:", config.parameters, names)
    _check_specs("attack under [attack_eps]:", config.attack_eps, [*attacks, CASCADE])

    restricted = [*plugins["classifier"], *plugins["defense"]]
    _check_specs("classifier or defense under [only]:", config.only, restricted)
    for restriction in config.only.values():
        _check_specs("attack under [only]:", restriction.attacks or (), [*attacks, CASCADE])


def check_attack_specs(config: RunConfig, attacks: Sequence[Configured[Attack]]) -> None:
    """Check that every spec with parameters under `attack_eps` is one of the grid's attacks.

    Raises:
        RequestError: a spec is not among the attacks in the same spelling.
    """
    labels = [attack.label for attack in attacks]
    for name in config.attack_eps:
        if ":" in name:
            _check("attack that budgets are given for:", [name], labels)


def check_budgets(attack: Configured[Attack], budgets: Sequence[float]) -> None:
    """Check that budgets are within the range of a pixel where that is their unit.

    Raises:
        RequestError: a budget is above 1 in the norm of the largest change, or as a share; or no
            number of pixels in the norm that counts them.
    """
    norm = attack.plugin.ball()
    for eps in budgets:
        if eps > 1 and norm in (None, "linf"):
            unit = norm or "a share"
            raise RequestError(f"--eps {eps:g}: attack '{attack.label}' takes at most 1 ({unit})")
        if norm == "l0" and eps != int(eps):
            name = attack.name
            raise RequestError(
                f"--eps {eps:g}: attack '{attack.label}' takes a number of pixels (l0); "
                f"give it budgets of its own, such as --eps {name}=10"
            )


def _check(kind: str, names: Collection[str], known: Collection[str]) -> None:
    """Check that names are known; the message about one that is not calls it by its kind."""
    for name in names:
        if name not in known:
            raise unknown(kind, name, known)


def _check_specs(kind: str, specs: Collection[str], known: Collection[str]) -> None:
    """Check that the plugins of specs are known."""
    _check(kind, [Spec.parse(spec).name for spec in specs], known)
