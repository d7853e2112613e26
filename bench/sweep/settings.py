"""The settings of a run: their model, and the merging of options into a preset or a file.

Neither torch nor a plugin is imported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bench.contracts.parameters import NonNegativeInt, PositiveInt
from bench.latency.settings import LatencySettings
from bench.sweep.budgets import Budget, Budgets


class Restriction(BaseModel):
    """The part of the grid that a classifier or a defense takes part in.

    Attributes:
        datasets: names of data sets; None for all.
        attacks: specs of attacks, or names for all specs of an attack; None for all.
        eps: budgets on the [0, 1] scale; None for all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: tuple[str, ...] | None = None
    attacks: tuple[str, ...] | None = None
    eps: tuple[Budget, ...] | None = None

    def allows(self, dataset: str, attack: Collection[str], eps: float) -> bool:
        """Whether a cell is in this part of the grid.

        Args:
            dataset: data set of the cell.
            attack: spec and name of the cell's attack.
            eps: budget of the cell.
        """
        allows_dataset = self.datasets is None or dataset in self.datasets
        allows_attack = self.attacks is None or any(name in self.attacks for name in attack)
        allows_eps = self.eps is None or eps in self.eps

        return allows_dataset and allows_attack and allows_eps


def allowed(
    restrictions: Mapping[str, Restriction],
    networks: Iterable[tuple[str, str]],
    dataset: str,
    attack: Collection[str],
    eps: float,
) -> bool:
    """Whether the restrictions of a cell's classifier and defense allow the cell.

    The restriction of a full spec takes precedence over that of the plugin's name.

    Args:
        restrictions: restrictions by the spec or the name of a classifier or defense.
        networks: spec and name of the classifier, and those of the defense.
        dataset: data set of the cell.
        attack: spec and name of the cell's attack.
        eps: budget of the cell.
    """
    found = (restrictions.get(label, restrictions.get(name)) for label, name in networks)
    return all(each is None or each.allows(dataset, attack, eps) for each in found)


class RunConfig(BaseModel):
    """The settings of a run; every key that a TOML file leaves out has the default below.

    Attributes:
        datasets: names of data sets.
        classifiers: specs of classifiers.
        defenses: specs of defenses.
        attacks: specs of attacks.
        eps: budgets on the [0, 1] scale, for every attack that `attack_eps` does not name.
        attack_eps: budgets of single attacks, by the attack's name or its full spec; under the name
            `cascade`, those of the threat model `adaptive`.
        threats: threat models, such as `whitebox:eot=10`.
        seeds: seeds of training and attacks.
        only: part of the grid that a classifier or a defense takes part in, by its name or its
            full spec.
        n: number of test images, from the first on.
        batch_size: number of images that are attacked and evaluated at once.
        draws: number of evaluations of a randomized defense on the finished images.
        convergence: number of images for the convergence check, which repeats an iterative attack
            with twice the steps and with a larger step, and for the probes; 0 turns all off.
        parameters: parameters that replace a plugin's defaults in this run, by the plugin's name.
        latency: settings of the latency measurement.
        plugins: files and modules with plugins from outside the package, the files relative to the
            folder of the configuration file. They are no part of the run's identity, which holds
            the plugins themselves.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: tuple[str, ...] = Field(default=("digits",), min_length=1)
    classifiers: tuple[str, ...] = Field(default=("cnn",), min_length=1)
    defenses: tuple[str, ...] = Field(
        default=("none", "convae", "puvae", "defensegan"), min_length=1
    )
    attacks: tuple[str, ...] = Field(default=("fgsm", "pgd"), min_length=1)
    eps: Budgets = (0.1, 0.2, 0.3)
    attack_eps: dict[str, Budgets] = {}
    threats: tuple[str, ...] = Field(default=("graybox",), min_length=1)
    seeds: tuple[NonNegativeInt, ...] = Field(default=(0,), min_length=1)
    only: dict[str, Restriction] = {}
    n: PositiveInt = 500
    batch_size: PositiveInt = 100
    draws: PositiveInt = 3
    convergence: NonNegativeInt = 50
    parameters: dict[str, dict[str, Any]] = {}
    latency: LatencySettings = LatencySettings()
    plugins: tuple[str, ...] = Field(default=(), exclude=True)

    def eps_of(self, label: str, name: str) -> tuple[float, ...]:
        """The budgets of an attack; those of its full spec take precedence over those of its name.

        Args:
            label: spec of the attack, as the grid writes it.
            name: name of the attack.
        """
        return self.attack_eps.get(label, self.attack_eps.get(name, self.eps))


def merged(content: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a preset or a file, changed by options, before they are checked.

    Args:
        content: content of the preset or file.
        given: options that were given, by key, see `bench.sweep.config.resolve`.
    """
    settings = {**content, **given, **_merged_budgets(content, given)}
    if isinstance(content.get("only"), Mapping):
        settings["only"] = _without_restrictions_of(given, content["only"])
    if "latency" in given:
        settings["latency"] = _merged_latency(content.get("latency", {}), given["latency"])

    return settings


def _merged_budgets(content: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The budgets by attack, where the command line names budgets."""
    if "eps" in given:
        return {"attack_eps": given.get("attack_eps", {})}
    if "attack_eps" in given and isinstance(content.get("attack_eps"), Mapping):
        return {"attack_eps": {**content["attack_eps"], **given["attack_eps"]}}
    return {}


def _without_restrictions_of(
    given: Mapping[str, Any], restrictions: Mapping[str, Any]
) -> dict[str, Any]:
    """The restrictions without those of the axes that the command line gives."""
    freed = {*given, *(["eps"] if "attack_eps" in given else [])}

    return {
        name: {axis: values for axis, values in restriction.items() if axis not in freed}
        if isinstance(restriction, Mapping)
        else restriction
        for name, restriction in restrictions.items()
    }


def _merged_latency(content: Any, given: Mapping[str, Any]) -> Any:
    """The latency settings of the content, changed by those of the command line."""
    settings = {name: value for name, value in given.items() if value is not None}
    return {**content, **settings} if isinstance(content, Mapping) else content
