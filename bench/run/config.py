"""The configuration of a run: a preset or a TOML file, with options from the command line over it."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.contracts import NonNegativeFloat, NonNegativeInt, PositiveInt
from bench.errors import RequestError, nearest
from bench.latency.settings import LatencySettings


class Only(BaseModel):
    """What of the grid a classifier or defense takes part in; None for all of it.

    Attributes:
        datasets: names.
        attacks: specs, or names for all specs of that attack.
        eps: budgets.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: tuple[str, ...] | None = None
    attacks: tuple[str, ...] | None = None
    eps: tuple[NonNegativeFloat, ...] | None = None

    def allows(self, dataset: str, attack: Collection[str], eps: float) -> bool:
        """Whether a cell is part of it.

        Args:
            dataset: of the cell.
            attack: spec and name of the cell's attack.
            eps: its budget.
        """
        named = self.attacks is None or any(name in self.attacks for name in attack)
        placed = self.datasets is None or dataset in self.datasets
        return named and placed and (self.eps is None or eps in self.eps)


class RunConfig(BaseModel):
    """Everything a run is made of; what is left out of a TOML file has these defaults.

    Attributes:
        datasets: names of data sets.
        classifiers: specs.
        defenses: specs.
        attacks: specs.
        eps: budgets on the [0, 1] scale, for every attack that `attack_eps` does not name.
        attack_eps: budgets by attack, its name or its whole spec.
        threats: threat models, such as `whitebox:eot=10`.
        seeds: of training and of attacks.
        only: by classifier or defense, its name or its whole spec, the part of the grid that it
            takes part in.
        n: test images.
        batch_size: images attacked and evaluated at once.
        draws: fresh evaluations of a stochastic defense on the finished images.
        convergence: on so many images an iterative attack is run once more with twice its steps; 0
            for none.
        parameters: by plugin name, parameters that replace the plugin's defaults in this run.
        latency: how inference is timed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: tuple[str, ...] = Field(default=("digits",), min_length=1)
    classifiers: tuple[str, ...] = Field(default=("cnn",), min_length=1)
    defenses: tuple[str, ...] = Field(
        default=("none", "convae", "puvae", "defensegan"), min_length=1
    )
    attacks: tuple[str, ...] = Field(default=("fgsm", "pgd"), min_length=1)
    eps: tuple[NonNegativeFloat, ...] = Field(default=(0.1, 0.2, 0.3), min_length=1)
    attack_eps: dict[str, Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)]] = {}
    threats: tuple[str, ...] = Field(default=("graybox",), min_length=1)
    seeds: tuple[NonNegativeInt, ...] = Field(default=(0,), min_length=1)
    only: dict[str, Only] = {}
    n: PositiveInt = 500
    batch_size: PositiveInt = 100
    draws: PositiveInt = 3
    convergence: NonNegativeInt = 50
    parameters: dict[str, dict[str, Any]] = {}
    latency: LatencySettings = LatencySettings()

    def eps_of(self, label: str, name: str) -> tuple[float, ...]:
        """The budgets of the attack of that spec and name."""
        return self.attack_eps.get(label, self.attack_eps.get(name, self.eps))


def read_file(path: Path) -> dict[str, Any]:
    """The content of a configuration file.

    Raises:
        RequestError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"cannot read configuration {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"configuration {path} is not valid TOML: {error}") from None


def resolve(content: Mapping[str, Any], overrides: Mapping[str, Any], source: str) -> RunConfig:
    """A checked configuration.

    Args:
        content: of a preset or file.
        overrides: options from the command line; None where one was not given. `eps` there replaces
            all of the content's `attack_eps`; without it `attack_eps` there adds to them. An axis
            that is given there is no longer restricted by the content's `only`. `latency` is a
            mapping of options.
        source: what to call the content in messages.

    Raises:
        RequestError: an unknown key, or a value of the wrong type or out of range.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    merged = {**content, **given}
    if "eps" in given:
        merged["attack_eps"] = given.get("attack_eps", {})
    elif "attack_eps" in given and isinstance(content.get("attack_eps"), Mapping):
        merged["attack_eps"] = {**content["attack_eps"], **given["attack_eps"]}
    if isinstance(content.get("only"), Mapping):
        freed = {*given, *(["eps"] if "attack_eps" in given else [])}
        merged["only"] = {
            name: {axis: part for axis, part in parts.items() if axis not in freed}
            if isinstance(parts, Mapping)
            else parts
            for name, parts in content["only"].items()
        }
    if "latency" in given:
        merged["latency"] = _latency(content.get("latency", {}), given["latency"])
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise RequestError(_explain(error, given, source)) from None


def _latency(content: Any, given: Mapping[str, Any]) -> Any:
    """The settings of the content with those of the command line over them."""
    said = {name: value for name, value in given.items() if value is not None}
    return {**content, **said} if isinstance(content, Mapping) else content


def _explain(error: ValidationError, given: Mapping[str, Any], source: str) -> str:
    """The first fault in one line: where it is, what it holds, what is wrong."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    if (
        name == "latency"
        and len(first["loc"]) > 1
        and given.get("latency", {}).get(first["loc"][1]) is not None
    ):
        given, name = given["latency"], str(first["loc"][1])
    option = "eps" if name == "attack_eps" else name.replace("_", "-")
    where = f"--{option}" if name in given else f"{source}: {'.'.join(map(str, first['loc']))}"
    if first["type"] == "extra_forbidden":
        return f"{where}: there is no such key{nearest(name, RunConfig.model_fields)}"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{where} = {first['input']!r}: {message}"
