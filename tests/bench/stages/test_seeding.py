"""Seeds of the global random generators."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.conformance import conformance
from bench.plugins.configured import configure
from bench.plugins.discovery import import_plugin
from bench.progress import Silent
from bench.registry import ATTACKS, DEFENSES
from bench.stages.context import TaskContext, weights_of
from bench.stages.executor import LocalExecutor
from bench.stages.seeding import seeded
from bench.store.artifacts import ArtifactStore
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig
from bench.sweep.grid import Grid

CPU = torch.device("cpu")


def draws() -> list[object]:
    """One draw from each global generator."""
    return [torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()]


def seeded_draws(*parts: object) -> list[object]:
    with seeded(CPU, *parts):
        return draws()


def test_the_same_parts_give_the_same_draws_and_others_give_others() -> None:
    first, again, other = seeded_draws("a", 0), seeded_draws("a", 0), seeded_draws("a", 1)
    assert first == again
    for one, another in zip(first, other, strict=True):
        assert one != another


@pytest.mark.parametrize("fails", [False, True])
def test_the_generators_go_on_afterwards_as_if_nothing_had_been(fails: bool) -> None:
    def interlude() -> None:
        with seeded(CPU, "interlude"):
            draws()
            if fails:
                raise ValueError

    def start() -> None:
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)

    start()
    expected = [draws(), draws()]
    start()
    first = draws()
    try:
        interlude()
    except ValueError:
        assert fails
    assert [first, draws()] == expected


def test_the_numbers_of_torch_are_those_of_earlier_versions() -> None:
    """Stored networks and records depend on them."""
    with seeded(CPU, "key", 100):
        drawn = torch.rand(2, dtype=torch.float64)
    expected = torch.Generator().manual_seed(3273355551943921384)
    torch.testing.assert_close(drawn, torch.rand(2, dtype=torch.float64, generator=expected))


def outcome(tmp_path: Path, config: RunConfig, data: Path) -> tuple[dict[str, np.ndarray], ...]:
    """Raw outcome of the plugins that draw from `random` and NumPy, and their weights."""
    context = TaskContext(CPU, ArtifactStore(tmp_path), data, Silent())
    tasks = CellTasks(LocalExecutor(context), context, config)
    cell = next(iter(Grid.of(config).cells()))
    networks = tasks.networks(cell)
    result = tasks.result(cell, networks).outcome.to_arrays()

    crafted = LocalExecutor(context).artifact(tasks.craft_task(cell, networks)).tensors
    images, _ = context.images(context.split("digits", config.n))
    moved = {"moved": crafted["adversarial"] - images.numpy()}

    return result, moved, weights_of(context.network(networks.defense))


def test_what_plugins_draw_is_repeatable_and_drawn_anew_for_each_batch(
    tmp_path: Path, tiny_config: RunConfig, plugins: Path
) -> None:
    import_plugin(str(plugins / "drawing.py"))
    config = tiny_config.model_copy(
        update={
            "classifiers": ("cnn:epochs=3",),
            "defenses": ("drawing",),
            "attacks": ("drawing_attack",),
            "eps": (0.3,),
            "draws": 2,
        }
    )

    random.seed(1)
    np.random.seed(1)
    first = outcome(tmp_path / "first", config, tmp_path)
    random.seed(2)
    np.random.seed(2)
    second = outcome(tmp_path / "second", config, tmp_path)

    for ours, again in zip(first, second, strict=True):
        for name, array in ours.items():
            np.testing.assert_array_equal(array, again[name], err_msg=name)

    result, crafted, weights = first
    assert len(set(weights["drawn"].tolist())) == len(weights["drawn"])
    assert (result["clean_defended"][0] != result["clean_defended"][1]).any()

    # The attack moves two pixels by its draws, which it makes once for a batch of 30 images.
    moved = crafted["moved"][:, 0, 0, :2].reshape(2, 30, 2).max(axis=1)
    assert len(set(moved.flatten().tolist())) == 4


@pytest.mark.parametrize(("family", "spec"), [("defense", "drawing"), ("attack", "drawing_attack")])
def test_a_plugin_that_draws_from_python_and_numpy_conforms(
    plugins: Path, family: str, spec: str
) -> None:
    import_plugin(str(plugins / "drawing.py"))
    registry = {"defense": DEFENSES, "attack": ATTACKS}[family]
    assert configure(registry, spec)
    reasons = [finding.reason for finding in conformance(family, spec) if finding.reason]
    assert not any("same seed" in reason for reason in reasons), reasons
