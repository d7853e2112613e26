"""The command `bench compare`."""

from __future__ import annotations

import typer

from bench.cli import subjects


def command(
    run_a: subjects.ReferenceRun,
    run_b: subjects.ComparedRun,
    fail_below: subjects.FailBelow = None,
) -> None:
    """Compare two runs cell by cell, with paired tests."""
    from bench.commands.compare import compare

    raise typer.Exit(compare(run_a, run_b, fail_below))
