"""The text of a run's plan."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.commands.plan_text import networks_text, time_text
from bench.sweep.costs import TimeLeft
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


def test_a_network_that_comes_as_it_is_is_not_to_train() -> None:
    networks = {"a": PlannedNetwork("classifier checkpoint on x, seed 0", False, trains=False)}
    assert networks_text(Plan(networks=networks), None).splitlines() == [
        "  networks: 0 cached, 0 to train",
        "    - classifier checkpoint on x, seed 0: used as it comes, without training",
    ]


def test_a_network_of_the_package_is_named_with_the_option_that_takes_it() -> None:
    networks = {"k" * 64: PlannedNetwork("classifier cnn on mnist, seed 0", cached=False)}
    shipped: Any = SimpleNamespace(entries={"k" * 32: None})
    assert networks_text(Plan(networks=networks), None, shipped).splitlines()[1:] == [
        "    - classifier cnn on mnist, seed 0 (comes with the package)",
        "    --pretrained takes those of the package",
    ]


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (TimeLeft(0.0, unknown=3, cells=3), "not known yet"),
        (TimeLeft(42.4, unknown=0, cells=3), "about 42 s"),
        (TimeLeft(240.0, unknown=2, cells=3), "about 4 min, and 2 cells of unknown cost"),
        (TimeLeft(9_000.0, unknown=0, cells=3), "about 2.5 h"),
    ],
)
def test_the_time_left_is_told_as_far_as_it_is_known(left: TimeLeft, text: str) -> None:
    assert time_text(left) == text


def test_a_plan_counts_every_kind_of_work(bench: Any, tiny: Path) -> None:
    command = ("run", "--config", tiny, "--defenses", "none", "--attacks", "fgsm,pgd")
    options = ("--eps", "0.1", "--seeds", "7", "--convergence", "20", "--out", "out")
    lines = bench(*command, *options).err.splitlines()
    assert lines[1:5] == [
        "  networks: 0 cached, 1 to train",
        "    - classifier cnn on digits, seed 7",
        "  adversarial sets: 0 cached, 2 to craft",
        "  convergence checks: 0 cached, 2 to craft",
    ]
    assert "20 images attacked again" in lines[5]
    assert "had not converged" in lines[5]
    assert lines[6].startswith("  time for 2 cells, without training and timing: ")
    assert any(line.startswith("step 1 of 2: attack none with fgsm at eps 0.1") for line in lines)
    # Another folder knows no record, but the cache has everything.
    lines = bench(*command, *options[:-1], "other").err.splitlines()
    assert lines[1] == "  networks: 1 cached, 0 to train"
    assert lines[2] == "  adversarial sets: 2 cached, 0 to craft"
    assert lines[3].startswith("  convergence checks: 2 cached, 0 to craft")
