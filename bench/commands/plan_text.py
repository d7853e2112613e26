"""The plan of a run as text: the work that is done already, and the work that is left."""

from __future__ import annotations

from collections.abc import Mapping

from bench.commands.preparation import PreparedRun
from bench.store.weights import Weights
from bench.sweep.plan import Plan


def plan_text(plan: Plan, prepared: PreparedRun) -> str:
    """The plan of `bench run`, in a few lines."""
    config = prepared.runner.config
    lines = [
        f"Plan: {plan.cells} cells on {prepared.device}, "
        f"{plan.recorded} already recorded in {prepared.folder.path}",
        networks_text(plan, prepared.weights),
        f"  adversarial sets: {_count(plan.adversarial_sets)}",
    ]
    if plan.convergence_sets:
        images = min(config.convergence, config.n)
        lines.append(
            f"  convergence checks: {_count(plan.convergence_sets)} "
            f"({images} images attacked again with more or larger steps)"
        )

    return "\n".join(lines)


def networks_text(plan: Plan, weights: Weights | None) -> str:
    """The networks of a plan: the number that exists already, and the titles of those to train."""
    to_train = [network.title for network in plan.networks.values() if not network.cached]
    given = [key for key in plan.networks if weights and key[:32] in weights.entries]
    cached = len(plan.networks) - len(to_train) - len(given)

    source = f"{len(given)} from {weights.folder}, " if weights else ""
    summary = f"  networks: {source}{cached} cached, {len(to_train)} to train"

    return "\n".join([summary, *(f"    - {title}" for title in to_train)])


def _count(sets: Mapping[str, bool]) -> str:
    cached = sum(sets.values())
    return f"{cached} cached, {len(sets) - cached} to craft"
