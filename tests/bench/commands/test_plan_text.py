"""The text of a run's plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.commands.plan_text import networks_text
from bench.sweep.plan import Plan, PlannedNetwork


def test_networks_to_train_are_listed() -> None:
    networks = {
        "a": PlannedNetwork("classifier cnn on digits, seed 0", cached=True),
        "b": PlannedNetwork("defense convae on digits, seed 0", cached=False),
    }
    assert networks_text(Plan(networks=networks), None).splitlines() == [
        "  networks: 1 cached, 1 to train",
        "    - defense convae on digits, seed 0",
    ]


def test_a_plan_counts_every_kind_of_work(bench: Any, tiny: Path) -> None:
    command = ("run", "--config", tiny, "--defenses", "none", "--attacks", "fgsm,pgd")
    options = ("--eps", "0.1", "--seeds", "7", "--convergence", "20", "--out", "out")
    assert bench(*command, *options).err.splitlines()[1:5] == [
        "  networks: 0 cached, 1 to train",
        "    - classifier cnn on digits, seed 7",
        "  adversarial sets: 0 cached, 2 to craft",
        "  convergence checks: 0 cached, 2 to craft "
        "(20 images attacked again with more or larger steps)",
    ]
    # Another folder knows no record, but the cache has everything.
    lines = bench(*command, *options[:-1], "other").err.splitlines()
    assert lines[1] == "  networks: 1 cached, 0 to train"
    assert lines[2] == "  adversarial sets: 2 cached, 0 to craft"
    assert lines[3].startswith("  convergence checks: 2 cached, 0 to craft")
