"""The command `bench check`."""

from __future__ import annotations

import typer

from bench.cli import options, subjects


def command(
    plugin: subjects.CheckedPlugin,
    dataset: subjects.CheckedOn = "digits",
    data: options.Data = None,
    traceback: options.Traceback = False,  # noqa: ARG001 - its callback has set it
) -> None:
    """Run the conformance suite on a plugin.

    The suite checks the plugin's contract on a few images, within seconds. A check that says
    nothing new, because an earlier one has failed, is not judged.
    """
    from bench.commands.check import check

    raise typer.Exit(check(plugin, dataset, data))
