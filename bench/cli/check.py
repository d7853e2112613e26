"""The command `bench check`."""

from __future__ import annotations

import typer

from bench.cli import options, subjects


def command(
    plugin: subjects.CheckedPlugin,
    dataset: subjects.CheckedOn = None,
    data: options.Data = None,
    traceback: options.Traceback = False,  # noqa: ARG001 - its callback has set it
) -> None:
    """Run the conformance suite on a plugin.

    The suite checks the plugin's contract on a few images, within seconds. Attacks are checked on
    the digits.
    """
    from bench.commands.check import check

    raise typer.Exit(check(plugin, dataset, data))
