"""The configuration of a run: a preset or a TOML file, changed by options of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.errors import RequestError, nearest
from bench.latency.settings import LatencySettings
from bench.spec import Spec
from bench.stages.cascade_budgets import CASCADE
from bench.stages.threats import THREATS
from bench.store.reading import Unreadable, read_toml
from bench.store.strict import reason_of_fault
from bench.sweep.settings import Restriction, RunConfig, merged
from bench.text import LONGEST_NAME, one_line

__all__ = ["Restriction", "RunConfig", "read_file", "resolve"]

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
    try:
        config = RunConfig.model_validate(merged(content, given))
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
