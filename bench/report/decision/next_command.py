"""The next command: the run of a folder again, with a change that answers what is open."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from bench.errors import RequestError
from bench.records.cell import CellRecord
from bench.records.folder import RunFolder
from bench.store.weights import Weights, pretrained
from bench.sweep.presets import preset_names, read_preset
from bench.sweep.settings import RunConfig, merged

_AXES = ("datasets", "classifiers", "defenses", "attacks", "threats", "seeds")
_SCALARS = ("n", "batch_size", "draws", "convergence")
_TIMING = ("engines", "precisions")
_BUDGETS = ("eps", "attack_eps")
_PIPELINES = ("datasets", "classifiers", "defenses")


@dataclass(frozen=True)
class RecordedRun:
    """The configuration of a run, from which commands are made.

    Attributes:
        preset: name of the preset or of the configuration file.
        content: keys of the configuration, as `bench.sweep.settings.RunConfig` has them.
        pretrained: whether the run used the networks of the package.
        command: name of the command that made the run; empty for `bench run`.
    """

    preset: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)
    pretrained: bool = False
    command: str = ""

    @classmethod
    def of(cls, folder: RunFolder, records: Iterable[CellRecord]) -> RecordedRun:
        """The run in a folder.

        Args:
            folder: folder of the run.
            records: records of all its cells.
        """
        networks = {digest for record in records for digest in record.networks.values()}
        recorded = folder.config()
        content = {name: recorded[name] for name in RunConfig.model_fields if name in recorded}
        content.pop("plugins", None)  # those of a folder are identities, not files

        return cls(
            preset=str(recorded.get("preset", "")),
            content=content,
            pretrained="weights" in recorded and _are_packaged(networks),
            command=str(recorded.get("command", "")),
        )

    @cached_property
    def config(self) -> RunConfig | None:
        """The configuration; None where this version cannot read it."""
        try:
            return RunConfig.model_validate(self.content)
        except ValidationError:
            return None

    def again(self, **changes: Any) -> str:
        """The command that makes the same run with changes; empty where options cannot say it.

        A preset's value needs no option, and one that no option sets must be the preset's.

        Args:
            changes: values that replace those of the configuration, by key; lists as tuples.
        """
        if self.config is None or self.preset not in preset_names() or self.command:
            return ""

        wanted = self.config.model_copy(update=changes)
        preset = read_preset(self.preset)
        given = dict(_given(wanted, RunConfig.model_validate(preset)))
        found = RunConfig.model_validate(merged(preset, given))
        if found.model_dump() != wanted.model_dump():
            return ""

        return self._command("run", _options(given))

    def timing(self) -> str:
        """The command that times the pipelines of the run alone; empty as for `again`."""
        if not self.again() or self.config is None:
            return ""

        preset = RunConfig.model_validate(read_preset(self.preset))
        given = dict(_given(self.config, preset))
        axes = {name: given[name] for name in _PIPELINES if name in given}
        return self._command("latency", _options(axes))

    def _command(self, name: str, options: Iterable[tuple[str, str]]) -> str:
        """A command with the run's preset and options, as one types it."""
        words = [word for option in (("--preset", self.preset), *options) for word in option]

        return shlex.join(["bench", name, *words, *(["--pretrained"] if self.pretrained else [])])


def _are_packaged(networks: Collection[str]) -> bool:
    """Whether some of the networks came with the package."""
    try:
        entries = Weights.open(pretrained()).entries.values()
    except RequestError:
        return False

    return any(entry.digest in networks for entry in entries)


def _given(wanted: RunConfig, preset: RunConfig) -> Iterator[tuple[str, Any]]:
    """The values that options must give, since they are not the preset's, by key."""
    for name in (*_AXES, *_SCALARS):
        if getattr(wanted, name) != getattr(preset, name):
            yield name, getattr(wanted, name)
    if any(getattr(wanted, name) != getattr(preset, name) for name in _BUDGETS):
        yield from ((name, getattr(wanted, name)) for name in _BUDGETS)

    timing = {
        name: getattr(wanted.latency, name)
        for name in _TIMING
        if getattr(wanted.latency, name) != getattr(preset.latency, name)
    }
    if timing:
        yield "latency", timing


def _options(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The names and values of the options of `bench run` that give these values."""
    for name in (*_AXES, *_SCALARS):
        if name in given:
            yield f"--{name.replace('_', '-')}", _listed(given[name])
    if "eps" in given:
        yield "--eps", _listed((*given["eps"], *_named_budgets(given["attack_eps"])))
    for name, values in given.get("latency", {}).items():
        yield f"--{name}", _listed(values)


def _named_budgets(budgets: Mapping[str, Iterable[float]]) -> Iterator[str]:
    """The budgets of single attacks, as `--eps` names them."""
    for attack, listed in budgets.items():
        yield from (f"{attack}={eps}" for eps in listed)


def _listed(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
