"""The command `bench report`."""

from __future__ import annotations

import typer

from bench.cli import options, subjects


def command(
    run: subjects.Run,
    strict: options.Strict = False,
    against: subjects.Against = None,
    no_plots: options.NoPlots = False,
    html: options.Page = True,
    compare: subjects.OtherRun = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    json: options.Json = False,
    style: options.Style = "screen",
) -> None:
    """Make the tables and plots of a run again from its raw results.

    No network is run again.
    """
    from bench.commands.display import Display
    from bench.commands.drawings import Drawings
    from bench.commands.report import report

    display = Display(quiet, verbose, json)
    drawings = Drawings.of(plots=not no_plots, page=html, style=style)
    raise typer.Exit(report(run, strict, against, display, drawings, other=compare))
