"""The command `bench merge`."""

from __future__ import annotations

import typer

from bench.cli import options, subjects


def command(
    runs: subjects.Runs,
    out: subjects.MergedRun,
    no_plots: options.NoPlots = False,
    html: options.Page = True,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> None:
    """Make one run of several: shards, or further seeds and methods.

    The runs may differ in their axes only: data sets, classifiers, defenses, attacks, budgets,
    threat models and seeds. RUN may be one of them, which then gets what it lacks. No network is
    run again. The exit code is 1 if a cell failed or has no record.
    """
    from bench.commands.display import Display
    from bench.commands.drawings import Drawings
    from bench.commands.merge import merge

    display = Display(quiet, verbose, json)
    drawings = Drawings.of(plots=not no_plots, page=html)
    raise typer.Exit(merge(runs, out, display, drawings))
