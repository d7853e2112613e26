"""The command `bench compare`."""

from __future__ import annotations

import typer

from bench.cli import options


def command(
    run_a: options.ReferenceRun,
    run_b: options.ComparedRun,
    fail_below: options.FailBelow = None,
) -> None:
    """Compare two runs cell by cell, with paired tests."""
    from bench.commands.compare import compare

    raise typer.Exit(compare(run_a, run_b, fail_below))
