"""A run's folder: the resolved configuration, environments, one record and one raw outcome per cell, latency samples.

config.json              the resolved configuration
environments/<id>.json   versions and device; every record names its own
cells/<key>.json         status, reason, labels, parameters
cells/<key>.safetensors  the raw per-image outcome of a cell that is ok
latency/<key>.json       raw seconds per call
tables/, plots/          derived; `bench report` makes them again
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench.artifacts import Tensors, read_artifact, write_artifact
from bench.atomic import is_partial, sweep_partials, write_json
from bench.errors import RequestError
from bench.keys import content_key
from bench.timings import Subject, Timing

SCHEMA = 2
"""Version of the records. 1: the first. 2: facts of the attack, digest of the test images."""

_AXES = ("dataset", "classifier", "defense", "attack", "threat", "seed")

Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Facts:
    """What a verdict must know of a cell beside its raw outcome.

    Attributes:
        norm: that epsilon bounds; None for none.
        access: what the attack takes from the model, `gradient` or `decision`.
        minimum_norm: the attack looks for the nearest adversarial image.
        steps: of an iterative attack.
        threat: name of the threat model.
        gradient: the threat model gives one.
        sees_defense: the attacked model contains the purifier.
        stronger_than: threat models whose attacker knows no more.
        eot: draws the gradient was averaged over.
        stochastic: the defense is randomised.
    """

    norm: str | None
    access: str
    minimum_norm: bool
    steps: int | None
    threat: str
    gradient: bool
    sees_defense: bool
    stronger_than: tuple[str, ...]
    eot: int
    stochastic: bool


@dataclass(frozen=True)
class Result:
    """The record of a cell; numbers are derived from its outcome, never stored here.

    Attributes:
        key: of everything the outcome depends on.
        labels: dataset, classifier, defense, attack, eps, threat, seed.
        facts: what the checks must know of it.
        data: digest of the test images and their labels.
        n: test images.
        status: ok, failed or skipped.
        reason: of a failure, in one line.
        parameters: of the three plugins, defaults included.
        networks: digests of the weights used.
        environment: id of the environment it was computed in.
    """

    key: str
    labels: Mapping[str, Any]
    facts: Facts
    data: str
    n: int
    status: Status
    reason: str
    parameters: Mapping[str, Any]
    networks: Mapping[str, str]
    environment: str


class RunFolder:
    """Reads and writes a run's folder; every file is written atomically."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> RunFolder:
        """Open the folder for this configuration, making it where it is new.

        Raises:
            RequestError: it holds a run of another configuration, or something else.
            StorageError: it cannot be written.
        """
        folder = cls(path)
        stored = path / "config.json"
        if stored.is_file():
            if folder.config() != json.loads(json.dumps(config)):
                raise RequestError(f"{path} holds a run of another configuration: choose another folder with --out")
        elif path.exists() and (not path.is_dir() or any(not is_partial(entry) for entry in path.iterdir())):
            raise RequestError(f"{path} exists and is not a run's folder: choose another with --out")
        else:
            write_json(stored, config)
        sweep_partials(path)
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open a folder that holds a run.

        Raises:
            RequestError: it does not.
        """
        if not (path / "config.json").is_file():
            raise RequestError(f"{path} is not a run's folder (it has no config.json)")
        return cls(path)

    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        return _read_object(self.path / "config.json")

    def save_environment(self, environment: Mapping[str, Any]) -> str:
        """Keep an environment and return its id."""
        name = content_key(environment)[:12]
        path = self.path / "environments" / f"{name}.json"
        if not path.is_file():
            write_json(path, environment)
        return name

    def environments(self) -> dict[str, dict[str, Any]]:
        """All environments by id."""
        return {path.stem: _read_object(path) for path in sorted((self.path / "environments").glob("*.json"))}

    def machines(self) -> dict[str, str]:
        """Device and PyTorch of all environments, in words, by id."""
        return {
            name: f"{found.get('device', {}).get('name', 'unknown device')}, "
            f"PyTorch {found.get('packages', {}).get('torch', 'unknown')}"
            for name, found in self.environments().items()
        }

    def save(self, result: Result, outcome: Tensors | None) -> None:
        """Write a cell: first the outcome, then the record, so that a record never lacks its outcome."""
        if outcome is not None:
            write_artifact(self._outcome_path(result.key), outcome, {"labels": dict(result.labels)})
        write_json(self._record_path(result.key), {"schema": SCHEMA, **asdict(result)})

    def result(self, key: str) -> Result | None:
        """The record of that key, where there is a sound one (an ok one needs its outcome)."""
        try:
            found = self._read(self._record_path(key))
            if found.status == "ok":
                read_artifact(self._outcome_path(key))
        except (FileNotFoundError, ValueError, RequestError):
            return None
        return found

    def results(self) -> Iterator[Result]:
        """All records, in the order in which the configuration lists the axes' values.

        Raises:
            RequestError: a record is damaged or of another version.
        """
        found = [self._read(path) for path in (self.path / "cells").glob("*.json")]
        config = self.config()
        listed = {axis: [str(value) for value in config.get(f"{axis}s", [])] for axis in _AXES}
        yield from sorted(found, key=lambda result: _position(result.labels, listed))

    def outcome(self, result: Result) -> Tensors:
        """The raw outcome of an ok cell.

        Raises:
            RequestError: it is missing or damaged.
        """
        path = self._outcome_path(result.key)
        try:
            return read_artifact(path).tensors
        except (FileNotFoundError, ValueError) as error:
            raise RequestError(f"the outcome {path} is damaged ({error}): run the same `bench run` again") from None

    def save_timing(self, timing: Timing) -> None:
        """Write raw times."""
        write_json(self._timing_path(timing.subject.key), timing.to_json())

    def timing(self, key: str) -> Timing | None:
        """The times of that key, where there is a sound file of them."""
        try:
            return _read_timing(self._timing_path(key))
        except (FileNotFoundError, RequestError):
            return None

    def timings(self) -> list[Timing]:
        """All raw times.

        Raises:
            RequestError: a file is damaged or of another version.
        """
        found = [_read_timing(path) for path in (self.path / "latency").glob("*.json")]
        return sorted(found, key=lambda timing: _order(timing.subject))

    def _timing_path(self, key: str) -> Path:
        return self.path / "latency" / f"{key[:16]}.json"

    def _record_path(self, key: str) -> Path:
        return self.path / "cells" / f"{key[:16]}.json"

    def _outcome_path(self, key: str) -> Path:
        return self.path / "cells" / f"{key[:16]}.safetensors"

    @staticmethod
    def _read(path: Path) -> Result:
        content = _read_object(path)
        version = content.pop("schema", None)
        if version != SCHEMA:
            raise RequestError(f"{path} has schema {version}; this version reads {SCHEMA}")
        try:
            facts = content.pop("facts")
            facts["stronger_than"] = tuple(facts["stronger_than"])
            found = Result(**content, facts=Facts(**facts))
            for label in (*_AXES, "eps"):
                found.labels[label]
            return found
        except (TypeError, KeyError) as error:
            raise RequestError(f"{path} is not a record of a cell ({error})") from None


def _position(labels: Mapping[str, Any], listed: Mapping[str, list[str]]) -> list[tuple[int, float, str]]:
    """Where a record stands: listed values as listed, others (and epsilons) by size or name."""
    place = []
    for axis, value in labels.items():
        values = listed.get(axis, [])
        index = values.index(str(value)) if str(value) in values else len(values)
        place.append((index, float(value) if isinstance(value, (int, float)) else 0.0, str(value)))
    return place


def _order(subject: Subject) -> tuple[Any, ...]:
    labels = tuple(map(str, subject.labels.values()))
    return (*labels, subject.engine, subject.precision, subject.target, subject.batch_size, subject.round)


def _read_timing(path: Path) -> Timing:
    content = _read_object(path)
    try:
        return Timing.from_json(content)
    except ValueError as error:
        raise RequestError(f"{path}: {error}") from None


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RequestError(f"{path} is damaged ({error}): remove it and run the same `bench run` again") from None
    if not isinstance(content, dict):
        raise RequestError(f"{path} does not hold a JSON object")
    return content
