"""`bench run`: the plan, the sweep, latency, the report."""

from __future__ import annotations

from rich.console import Console

from bench.commands.report import report_invalid
from bench.commands.request import Prepared, Request, prepare
from bench.progress import say
from bench.report import print_tables, table_console, write_report
from bench.report.accuracy import title_of
from bench.run.plan import Plan
from bench.store.weights import Weights


def run(request: Request, strict: bool = False) -> int:
    """Run a grid.

    Args:
        request: the grid, and where it is computed.
        strict: an invalid cell is a failure.

    Returns:
        0 when no cell failed (nor, under `strict`, is invalid), else 1.

    Raises:
        RequestError: the request is wrong; nothing was computed.
    """
    messages, output = Console(stderr=True), table_console()
    prepared = prepare(request, messages)
    runner, path = prepared.runner, prepared.folder.path
    show_plan(messages, runner.plan(), prepared)

    failed = 0
    for result in runner.run(prepared.environment):
        if result.status == "failed":
            failed += 1
            say(messages, f"failed: {title_of(result.labels)}: {result.reason}")
    untimed = runner.time(prepared.environment)
    derived = write_report(prepared.folder)
    print_tables(output, derived)
    say(messages, f"Tables and plots are in {path}/tables and {path}/plots")
    if failed:
        say(
            messages,
            f"{failed} of {len(list(runner.grid.cells()))} cells failed; the same command tries them again",
        )
    invalid = strict and report_invalid(messages, derived)
    return 1 if failed or untimed or invalid else 0


def show_networks(plan: Plan, weights: Weights | None) -> str:
    """Which networks are there and which are trained first, as lines."""
    to_train = [title for title, cached in plan.networks.values() if not cached]
    taken = [key for key in plan.networks if weights and key[:32] in weights.entries]
    given = f"{len(taken)} from {weights.folder}, " if weights else ""
    cached = len(plan.networks) - len(to_train) - len(taken)
    return f"  networks: {given}{cached} cached, {len(to_train)} to train" + "".join(
        f"\n    - {title}" for title in to_train
    )


def show_plan(console: Console, plan: Plan, prepared: Prepared) -> None:
    """What is going to happen, in three lines."""
    crafted, networks = sum(plan.crafted.values()), show_networks(plan, prepared.weights)
    say(
        console,
        f"Plan: {plan.cells} cells on {prepared.device}, {plan.recorded} already recorded in {prepared.folder.path}"
        f"\n{networks}\n  adversarial sets: {crafted} cached, {len(plan.crafted) - crafted} to craft",
    )
