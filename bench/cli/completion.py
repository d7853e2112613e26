"""Completion in a shell: names of plugins, presets and others, read without importing a plugin.

The script of a shell, which `bench --install-completion` installs, calls the program at each press
of the tab key, so that the modules that know names are imported when they are asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import typer

from bench.errors import BenchError

Names = Iterator[tuple[str, str]]
"""Names that a shell can complete, each with its description."""

_VARIABLE = "_BENCH_COMPLETE"
"""Environment variable through which the script of a shell asks for completions."""


def is_asked_for() -> bool:
    """Whether the script of a shell has called the program."""
    return bool(os.environ.get(_VARIABLE))


def print_completions(app: typer.Typer) -> int:
    """Print what the script of a shell has asked for; the exit code."""
    try:
        app(prog_name="bench")
    except SystemExit as end:
        return int(end.code or 0)

    return 0


def word(names: Callable[[], Names]) -> Callable[[str], list[tuple[str, str]]]:
    """The completion of a name.

    Args:
        names: function that gives all names.
    """

    def complete(incomplete: str) -> list[tuple[str, str]]:
        return [each for each in _known(names) if each[0].startswith(incomplete)]

    return complete


def last_entry(names: Callable[[], Names]) -> Callable[[str], list[tuple[str, str]]]:
    """The completion of the last name of a comma-separated list.

    Args:
        names: function that gives all names.
    """

    def complete(incomplete: str) -> list[tuple[str, str]]:
        before, comma, begun = incomplete.rpartition(",")
        return [(before + comma + name, summary) for name, summary in word(names)(begun)]

    return complete


def _known(names: Callable[[], Names]) -> list[tuple[str, str]]:
    """All names; none where they cannot be read, since a message would spoil the typed line."""
    try:
        return list(names())
    except BenchError:
        return []


def plugins(family: str | None = None) -> Callable[[], Names]:
    """Built-in and installed plugins of a family; None for all."""

    def names() -> Names:
        from bench.plugins.catalog import list_plugins

        for info in list_plugins():
            if family in (None, info.family):
                yield info.name, info.summary

    return names


def families() -> Names:
    """Families of plugins."""
    from bench.plugins.packages import PACKAGES

    for family in PACKAGES:
        yield family, f"a new {family}"


def threat_models() -> Names:
    """Threat models."""
    from bench.stages.threats import THREATS

    for threat in THREATS.values():
        yield threat.name, threat.summary


def presets() -> Names:
    """Presets that come with the package."""
    from bench.sweep.presets import preset_names, preset_summary

    for name in preset_names():
        yield name, preset_summary(name)


def engines() -> Names:
    """Engines of the latency measurement."""
    from bench.latency.engines import ENGINES

    for engine in ENGINES.values():
        yield engine.name, engine.summary


def precisions() -> Names:
    """Precisions of the latency measurement."""
    from bench.latency.engines import PRECISIONS

    for precision in PRECISIONS.values():
        yield precision.name, precision.summary


def publications() -> Names:
    """Published figures that come with the package."""
    from bench.store.packaged import published_names

    for name in published_names():
        yield name, "published figures"
