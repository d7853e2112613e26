"""The command `bench report`."""

from __future__ import annotations

import typer

from bench.cli import options, subjects


def command(
    run: subjects.Run,
    strict: options.Strict = False,
    against: subjects.Against = None,
    no_plots: options.NoPlots = False,
) -> None:
    """Make the tables and plots of a run again from its raw results.

    No network is run again.
    """
    from bench.commands.report import report

    raise typer.Exit(report(run, strict, against, plots=not no_plots))
