"""The command `bench new`."""

from __future__ import annotations

from bench.cli import subjects


def command(
    family: subjects.NewFamily,
    name: subjects.NewName,
) -> None:
    """Write a commented plugin file that passes `bench check`.

    The file NAME.py is written into the working directory.
    """
    from bench.commands.new import new

    new(family, name)
