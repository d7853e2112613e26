"""The plan of a run as text: the work that is done already, and the work that is left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.commands.preparation import PreparedRun
from bench.store.weights import Weights
from bench.sweep.costs import TimeLeft
from bench.sweep.plan import Plan
from bench.sweep.runner import RunStep
from bench.sweep.shard import Shard
from bench.text import duration


def plan_text(plan: Plan, prepared: PreparedRun, shipped: Weights | None = None) -> str:
    """The plan of `bench run`, in a few lines.

    Args:
        plan: work of the run.
        prepared: the run.
        shipped: networks that come with the package; None to say nothing of them.
    """
    config = prepared.runner.config
    lines = [
        f"Plan: {plan.cells} cells on {prepared.device}, "
        f"{plan.recorded} already recorded in {prepared.folder.path}",
        networks_text(plan, prepared.weights, shipped),
        f"  adversarial sets: {_count(plan.adversarial_sets)}",
    ]
    if prepared.executor.dispatches:
        lines.append(f"  executor: {prepared.executor.title}")
    if plan.convergence_sets:
        images = min(config.convergence, config.n)
        lines.append(f"  convergence checks: {_count(plan.convergence_sets)}")
        lines.append(
            f"    ({images} images attacked again, with twice the steps and with a larger step: an "
            "attack that then does better had not converged, and its number is too high)"
        )
    if plan.cells_left:
        left = prepared.runner.time_left()
        is_shared = prepared.executor.dispatches and left.unknown < left.cells
        among = ", which the workers share" if is_shared else ""
        lines.append(
            f"  time for {len(plan.cells_left)} cells, without training and timing: "
            f"{time_text(left)}{among}"
        )

    return "\n".join(lines)


def shard_text(shard: Shard, folder: Path) -> str:
    """What follows on a shard, in two lines: the merge, and the timings that a shard lacks.

    Args:
        shard: shard that was run.
        folder: folder of its results.
    """
    shards = folder.with_name(folder.name.replace(shard.folder_suffix, f"shard-*-of-{shard.count}"))
    runs = shards if shards != folder else "RUNS..."

    return (
        f"Shard {shard} is in {folder}; to merge all of them: bench merge {runs} --out RUN\n"
        "No timings: they need a machine alone. After the merge, the same command without --shard "
        "and with --out RUN adds them"
    )


def networks_text(plan: Plan, weights: Weights | None, shipped: Weights | None = None) -> str:
    """The networks of a plan: how many exist already, and the titles of those to train.

    Args:
        plan: work of the run.
        weights: trained networks that replace training; None for none.
        shipped: networks that come with the package; None to say nothing of them.
    """
    missing = {key: network for key, network in plan.networks.items() if not network.cached}
    to_train = {key: network for key, network in missing.items() if network.trains}
    as_they_are = [network.title for network in missing.values() if not network.trains]
    given = [key for key in plan.networks if weights and key[:32] in weights.entries]
    cached = len(plan.networks) - len(missing) - len(given)

    source = f"{len(given)} from {weights.folder}, " if weights else ""
    lines = [f"  networks: {source}{cached} cached, {len(to_train)} to train"]
    lines.extend(
        f"    - {network.title}{_in_package(key, shipped)}" for key, network in to_train.items()
    )
    lines.extend(f"    - {title}: used as it comes, without training" for title in as_they_are)
    if any(_in_package(key, shipped) for key in to_train):
        lines.append("    --pretrained takes those of the package")

    return "\n".join(lines)


def step_text(step: RunStep) -> str:
    """A step of a run in one line: its number, its cell, and the time that is left."""
    cell = step.cell
    action = f"attack {cell.defense.label} with {cell.attack.label} at eps {cell.eps:g}"
    left = time_text(step.time_left())

    return f"step {step.number} of {step.steps}: {action}, {cell.threat.label}; left: {left}"


def time_text(left: TimeLeft) -> str:
    """The time that is left, as far as it is known."""
    if left.unknown == left.cells:
        return "not known yet"

    unknown = f", and {left.unknown} cells of unknown cost" if left.unknown else ""
    return f"about {duration(left.seconds)}{unknown}"


def _in_package(key: str, shipped: Weights | None) -> str:
    """What is said of a network that comes with the package; empty for any other."""
    return " (comes with the package)" if shipped and key[:32] in shipped.entries else ""


def _count(sets: Mapping[str, bool]) -> str:
    cached = sum(sets.values())
    return f"{cached} cached, {len(sets) - cached} to craft"
