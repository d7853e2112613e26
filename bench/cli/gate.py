"""The command `bench gate`."""

from __future__ import annotations

import typer

from bench.cli import gate_options, subjects


def command(
    baseline: gate_options.Baseline,
    run: subjects.Run,
    fail_below: gate_options.FailBelow = None,
    fail_slower: gate_options.FailSlower = None,
    no_latency: gate_options.NoLatency = False,
    junit: gate_options.JUnit = None,
    json: gate_options.Json = None,
    markdown: gate_options.Markdown = None,
) -> None:
    """Judge a run against a baseline, in robustness and latency.

    RUN fails if a cell, a worst case or a clean accuracy of BASELINE is lost, if a verdict became
    invalid, or if a call takes longer relative to no defense, which both runs must have timed.
    Accuracies are paired image by image; of the times the quartiles count, so that chance fails
    neither. What BASELINE lacks is not judged.

    The last line has the result, and the exit code is 1 if RUN fails.
    """
    from bench.commands.gate import GateFiles, gate, limits_of

    limits = limits_of(fail_below, fail_slower, no_latency)
    raise typer.Exit(gate(baseline, run, limits, GateFiles(junit, json, markdown)))
