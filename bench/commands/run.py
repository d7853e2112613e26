"""`bench run`: the plan, the sweep, latency, the report."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.commands.report import told_invalid
from bench.commands.request import Request, prepare
from bench.progress import say
from bench.report import print_tables, table_console, write_report
from bench.report.frames import title_of
from bench.runner import Plan


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
    show_plan(messages, runner.plan(), prepared.device, path)

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
        say(messages, f"{failed} of {len(list(runner.grid.cells()))} cells failed; the same command tries them again")
    invalid = strict and told_invalid(messages, derived)
    return 1 if failed or untimed or invalid else 0


def show_networks(plan: Plan) -> str:
    """Which networks are there and which are trained first, as lines."""
    to_train = [title for title, cached in plan.networks.values() if not cached]
    return f"  networks: {len(plan.networks) - len(to_train)} cached, {len(to_train)} to train" + "".join(
        f"\n    - {title}" for title in to_train
    )


def show_plan(console: Console, plan: Plan, device: str, path: Path) -> None:
    """What is going to happen, in three lines."""
    crafted = sum(plan.crafted.values())
    say(
        console,
        f"Plan: {plan.cells} cells on {device}, {plan.recorded} already recorded in {path}\n{show_networks(plan)}"
        f"\n  adversarial sets: {crafted} cached, {len(plan.crafted) - crafted} to craft",
    )
