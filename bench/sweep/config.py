"""The configuration of a run: a preset or a TOML file, changed by options of the command line."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.contracts import NonNegativeInt, PositiveInt
from bench.errors import RequestError, nearest
from bench.latency.settings import LatencySettings
from bench.spec import Spec
from bench.stages.cascade_budgets import CASCADE
from bench.stages.threats import THREATS
from bench.store.reading import Unreadable, read_toml
from bench.store.strict import reason_of_fault
from bench.sweep.budgets import Budget, Budgets
from bench.text import LONGEST_NAME, one_line


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


_TABLES: Mapping[str, type[BaseModel]] = {"latency": LatencySettings, "only": Restriction}
"""Models of the tables inside a configuration, by key."""


def read_file(path: Path) -> dict[str, Any]:
    """The content of a configuration file.

    Raises:
        RequestError: the file cannot be read, is too large, or is not TOML.
    """
    try:
        return read_toml(path)
    except OSError as error:
        raise RequestError(f"--config {path}: {error.strerror or error}") from None
    except Unreadable as error:
        raise RequestError(f"--config {path}: {one_line(str(error))}") from None


def resolve(content: Mapping[str, Any], overrides: Mapping[str, Any], source: str) -> RunConfig:
    """A checked configuration.

    Args:
        content: content of a preset or a file.
        overrides: options of the command line by key, None where an option was not given. `latency`
            is a mapping of options. An `eps` among them replaces all budgets of the content; an
            `attack_eps` alone adds to the content's. An axis among them is no longer restricted by
            the content's `only`.
        source: name of the content in messages.

    Raises:
        RequestError: a key is unknown, a value has the wrong type or is out of range, or the
            command line gives budgets for an attack that is not in the run.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    merged = {**content, **given, **_merged_budgets(content, given)}
    if isinstance(content.get("only"), Mapping):
        merged["only"] = _without_restrictions_of(given, content["only"])
    if "latency" in given:
        merged["latency"] = _merged_latency(content.get("latency", {}), given["latency"])

    try:
        config = RunConfig.model_validate(merged)
    except ValidationError as error:
        raise RequestError(_first_fault(error, given, source)) from None

    if "attack_eps" in given:
        _check_attacks_of_budgets(given["attack_eps"], config.attacks, config.threats)

    return config


def _check_attacks_of_budgets(
    named: Iterable[str], attacks: Iterable[str], threats: Iterable[str]
) -> None:
    """Check that the command line gives budgets only for attacks of the run.

    A preset or file may hold budgets for others, which a command line left out.
    """
    has_cascade = any(THREATS[name].cascade for name in map(_name, threats) if name in THREATS)
    specs = [Spec.parse(attack) for attack in (*attacks, *([CASCADE] if has_cascade else []))]
    labels = [str(spec) for spec in specs]
    known = {*labels, *(spec.name for spec in specs)}

    for name in named:
        if name not in known:
            shown = one_line(name, LONGEST_NAME)
            raise RequestError(
                f"--eps {shown}=...: the run has no attack '{shown}' "
                f"(its attacks: {one_line(', '.join(labels))}{nearest(name, known)})"
            )


def _name(spec: str) -> str:
    return Spec.parse(spec).name


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


def _first_fault(error: ValidationError, given: Mapping[str, Any], source: str) -> str:
    """The first fault in one line: the option or key, its value, and the reason."""
    fault = error.errors()[0]
    location = fault["loc"]
    key = _option(location, given) or f"{source}: {_path(location)}"

    if fault["type"] == "extra_forbidden":
        table = _TABLES.get(str(location[0]), RunConfig) if len(location) > 1 else RunConfig
        return f"{key}: there is no such key{nearest(str(location[-1]), table.model_fields)}"

    reason = reason_of_fault(fault).replace("valid tuple", "list")
    return f"{key} = {_shown(fault['input'])}: {reason}"


def _option(location: Sequence[int | str], given: Mapping[str, Any]) -> str | None:
    """The option that gave the value at a location; None where the content did."""
    name = location[0]
    value = given.get(str(name))

    if isinstance(value, Mapping):
        inner = location[1] if len(location) > 1 else None
        value = value.get(inner)
        name = "eps" if name == "attack_eps" else str(inner)

    return None if value is None else f"--{str(name).replace('_', '-')}"


def _path(location: Iterable[int | str]) -> str:
    """The keys that lead to a place in a configuration, in one line."""
    keys = (str(key) if str(key).isprintable() else ascii(key) for key in location)
    return one_line(".".join(keys), LONGEST_NAME)


def _shown(value: Any) -> str:
    """A wrong value in a message, of any type and length."""
    try:
        return one_line(repr(value), LONGEST_NAME)
    except (ValueError, RecursionError):
        # Python refuses to write integers of thousands of digits, and what is nested too deeply.
        return f"({type(value).__name__})"
