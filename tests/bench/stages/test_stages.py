"""Train, craft and predict on the digits: shared artifacts, checks, and exact repetition."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.errors import PluginFault, StorageError
from bench.plugins.configured import Configured, configure
from bench.plugins.discovery import import_plugin
from bench.progress import Silent
from bench.registry import ATTACKS, DEFENSES
from bench.stages.context import TaskContext
from bench.stages.craft import Craft
from bench.stages.executor import LocalExecutor
from bench.stages.predict import check_not_collapsed
from bench.stages.threats import threat_model
from bench.store.artifacts import ArtifactStore
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig
from bench.sweep.grid import Grid


@pytest.fixture
def tasks(context: TaskContext, tiny_config: RunConfig) -> CellTasks:
    return CellTasks(LocalExecutor(context), context, tiny_config)


@pytest.fixture
def cells(tiny_config: RunConfig) -> list[Cell]:
    return list(Grid.of(tiny_config).cells())


def swapped(cell: Cell, **changes: object) -> Cell:
    return dataclasses.replace(cell, **changes)  # type: ignore[arg-type]


def defense(spec: str, config: RunConfig) -> Configured:  # type: ignore[type-arg]
    return configure(DEFENSES, spec, config.parameters)


def test_a_graybox_set_is_crafted_once_for_all_defenses(
    tasks: CellTasks, cells: list[Cell]
) -> None:
    keys = {tasks.craft_task(cell, tasks.networks(cell)).key for cell in cells}
    assert len(cells) == 4
    assert len(keys) == 2


def test_an_outcome_holds_one_entry_an_image(
    tasks: CellTasks, cells: list[Cell], tiny_config: RunConfig
) -> None:
    outcome = tasks.result(cells[0], tasks.networks(cells[0])).outcome
    n = tiny_config.n
    whole = (
        "labels",
        "clean_undefended",
        "adversarial_undefended",
        "attacked",
        "gradient_norm",
        "linf",
        "l2",
        "l1",
    )
    for name in whole:
        assert getattr(outcome, name).shape == (n,), name
    for name in ("clean_defended", "adversarial_defended"):
        assert getattr(outcome, name).shape == (1, n), name
    assert (outcome.linf <= cells[0].eps + 1e-6).all()
    assert ((outcome.linf > 0) == outcome.attacked).all()
    right = outcome.clean_undefended == outcome.labels
    assert (outcome.attacked == right).all()
    assert 0.8 < right.mean() < 1
    assert (outcome.adversarial_undefended == outcome.labels).mean() < 0.8


def test_without_a_defense_defended_is_undefended(tasks: CellTasks, cells: list[Cell]) -> None:
    outcome = tasks.result(cells[0], tasks.networks(cells[0])).outcome
    assert cells[0].defense.name == "none"
    np.testing.assert_array_equal(outcome.adversarial_defended[0], outcome.adversarial_undefended)


def test_the_same_tasks_in_another_cache_give_the_same_bits(
    tasks: CellTasks, cells: list[Cell], tiny_config: RunConfig, context: TaskContext, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    fresh = TaskContext(
        torch.device("cpu"), ArtifactStore(tmp_path / "fresh"), context.data, Silent()
    )
    other = CellTasks(LocalExecutor(fresh), fresh, tiny_config)
    cell = swapped(cells[-1], attack=configure(ATTACKS, "pgd", tiny_config.parameters))
    torch.manual_seed(123)  # whatever the global state is
    again = other.result(cell, other.networks(cell)).outcome
    first = tasks.result(cell, tasks.networks(cell)).outcome
    for name, array in first.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name], err_msg=name)


def test_a_stochastic_defense_is_drawn_afresh(
    tasks: CellTasks, cells: list[Cell], tiny_config: RunConfig, context: TaskContext
) -> None:
    config = tiny_config.model_copy(update={"draws": 3})
    several = CellTasks(LocalExecutor(context), context, config)
    cell = swapped(cells[0], defense=defense("defensegan:restarts=1:steps=1", tiny_config))
    outcome = several.result(cell, several.networks(cell)).outcome
    draws = outcome.adversarial_defended
    assert draws.shape == (3, tiny_config.n)
    assert (draws[0] != draws[1]).any()
    deterministic = several.result(cells[0], several.networks(cells[0])).outcome
    assert deterministic.adversarial_defended.shape == (1, tiny_config.n)


def test_inference_parameters_share_the_trained_network(
    tasks: CellTasks, cells: list[Cell], tiny_config: RunConfig
) -> None:
    few, many = (
        tasks.networks(
            swapped(cells[0], defense=defense(f"defensegan:restarts={count}", tiny_config))
        ).defense
        for count in (1, 3)
    )
    assert few.digest == many.digest
    assert few.identity != many.identity


def test_a_defense_without_the_classifier_serves_all_of_them(
    tasks: CellTasks, cells: list[Cell], tiny_config: RunConfig
) -> None:
    classifier = tasks.networks(cells[0]).classifier
    gan = tasks.defense_task(
        swapped(cells[0], defense=defense("defensegan", tiny_config)), classifier
    )
    convae = tasks.defense_task(
        swapped(cells[0], defense=defense("convae", tiny_config)), classifier
    )
    assert gan.against is None
    assert convae.against == classifier


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("broken:how=raises", "defense broken:how=raises raised RuntimeError: no such luck"),
        ("broken:how=black", "collapsed"),
        ("broken:how=loss", "diverged to nan"),
        ("broken:how=range", r"outside \[0, 1\]"),
    ],
)
def test_a_failing_network_fails_once_with_its_reason(
    context: TaskContext,
    tiny_config: RunConfig,
    cells: list[Cell],
    plugins: Path,
    monkeypatch: pytest.MonkeyPatch,
    spec: str,
    reason: str,
) -> None:
    import_plugin(str(plugins / "faulty.py"))
    executor = LocalExecutor(context)
    tasks = CellTasks(executor, context, tiny_config)
    cell = swapped(cells[0], defense=configure(DEFENSES, spec))
    reasons = []
    for _ in range(2):
        with pytest.raises(PluginFault, match=reason) as caught:
            tasks.result(cell, tasks.networks(cell))
        reasons.append(str(caught.value))
        monkeypatch.setattr(executor, "_run", lambda _: pytest.fail("run again"))
    assert reasons[0] == reasons[1]


def test_a_classifier_at_chance_is_refused(tasks: CellTasks, cells: list[Cell], plugins) -> None:  # type: ignore[no-untyped-def]
    from bench.registry import CLASSIFIERS

    import_plugin(str(plugins / "faulty.py"))
    with pytest.raises(PluginFault, match=r"classifier constant is no better than chance: acc"):
        tasks.networks(swapped(cells[0], classifier=configure(CLASSIFIERS, "constant")))


@pytest.mark.parametrize(
    ("how", "reason"), [("ball", "beyond eps 0.1"), ("nan", "NaN"), ("raises", "shy")]
)
def test_an_attack_that_breaks_its_contract_is_a_fault(
    tasks: CellTasks, cells: list[Cell], plugins, how: str, reason: str
) -> None:  # type: ignore[no-untyped-def]
    import_plugin(str(plugins / "faulty.py"))
    cell = swapped(cells[0], attack=configure(ATTACKS, f"broken_attack:how={how}"))
    with pytest.raises(PluginFault, match=reason):
        tasks.result(cell, tasks.networks(cell))


def test_an_artifact_that_vanishes_meanwhile_is_reported(
    tmp_path, tiny_config: RunConfig, cells: list[Cell]
) -> None:  # type: ignore[no-untyped-def]
    context = TaskContext(torch.device("cpu"), ArtifactStore(tmp_path), tmp_path, Silent())
    tasks = CellTasks(LocalExecutor(context), context, tiny_config)
    networks = tasks.networks(cells[0])
    context.store.path("network", networks.classifier.key).unlink()
    task = tasks.craft_task(cells[0], networks)
    assert isinstance(task, Craft)
    with pytest.raises(StorageError, match="vanished"):
        LocalExecutor(context).artifact(task)


@pytest.mark.parametrize("place", ["weights", "digest in the header"])
def test_damaged_networks_that_a_task_needs_are_made_again(
    tmp_path: Path,
    tasks: CellTasks,
    context: TaskContext,
    tiny_config: RunConfig,
    cells: list[Cell],
    place: str,
) -> None:
    """The digest is read from the header, so damaged weights show only when they are loaded."""
    cell = swapped(
        cells[0],
        defense=defense("convae", tiny_config),
        threat=threat_model("whitebox"),
    )
    networks = tasks.networks(cell)
    expected = tasks.result(cell, networks).outcome
    store = ArtifactStore(tmp_path)
    damaged = {}
    for network in (networks.classifier, networks.defense):
        path = store.path("network", network.key)
        path.parent.mkdir(exist_ok=True)
        content = bytearray(context.store.path("network", network.key).read_bytes())
        position = -1 if place == "weights" else content.index(network.digest.encode()) + 5
        content[position] ^= 1
        path.write_bytes(content)
        damaged[path] = bytes(content)

    other = TaskContext(torch.device("cpu"), store, tmp_path, Silent())
    again = CellTasks(LocalExecutor(other), other, tiny_config)
    assert again.networks(cell) == networks
    repeated = again.result(cell, networks).outcome
    for name, array in expected.to_arrays().items():
        np.testing.assert_array_equal(array, repeated.to_arrays()[name], err_msg=name)
    assert all(path.read_bytes() != content for path, content in damaged.items())


def test_a_collapsed_purifier_is_refused() -> None:
    images = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    check_not_collapsed("defense x", images, images)
    check_not_collapsed("defense x", images[:1], torch.zeros(1, 1, 4, 4))
    with pytest.raises(PluginFault, match=r"defense x collapsed.* varies only 1\.0% as much"):
        check_not_collapsed("defense x", images, images * 0.01 + 0.5)


def test_a_purifier_that_works_in_place_does_not_reach_the_test_images(
    tasks: CellTasks, cells: list[Cell], plugins: Path, context: TaskContext, tiny_config: RunConfig
) -> None:
    import_plugin(str(plugins / "faulty.py"))
    images, _ = context.images(context.split("digits", tiny_config.n))
    before = images.clone()
    cell = swapped(cells[0], defense=configure(DEFENSES, "broken:how=in_place"))
    tasks.result(cell, tasks.networks(cell))
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (
            "broken:how=state",
            "defense broken:how=state raised RuntimeError: Error.*loading state_dict.*extra",
        ),
        ("broken:how=bfloat16", "defense broken:how=bfloat16 raised TypeError"),
        ("careless", "raised RequestError: unknown attack 'pdg'"),
    ],
)
def test_whatever_goes_wrong_around_a_network_is_its_fault(
    tasks: CellTasks, cells: list[Cell], plugins: Path, spec: str, reason: str
) -> None:
    import_plugin(str(plugins / "faulty.py"))
    cell = swapped(cells[0], defense=configure(DEFENSES, spec))
    with pytest.raises(PluginFault, match=reason):
        tasks.result(cell, tasks.networks(cell))


def test_a_classifier_without_gradient_is_marked_not_fatal(context: TaskContext) -> None:
    from bench.stages.crafting import gradient_norms

    images, labels = context.images(context.split("digits", 4))
    flat = torch.nn.Flatten()
    norms = gradient_norms("classifier x", lambda x: flat(x)[:, :10].detach(), images, labels)  # type: ignore[arg-type]
    assert norms.tolist() == [0, 0, 0, 0]


def _scale(module: Any) -> None:
    next(module.parameters()).data.mul_(2)


def _train_mode(module: Any) -> None:
    module.train()


def _hook(module: Any) -> None:
    module.register_forward_hook(lambda *_: None)


def _backward_hook(module: Any) -> None:
    module.register_full_backward_hook(lambda *_: None)


def _require_gradients(module: Any) -> None:
    module.requires_grad_(True)


@pytest.mark.parametrize("change", [_scale, _train_mode, _hook, _backward_hook, _require_gradients])
@pytest.mark.parametrize("fails", [False, True])
def test_a_network_that_a_task_changes_is_the_tasks_fault_and_loaded_again(
    context: TaskContext, tasks: CellTasks, cells: list[Cell], change: Any, fails: bool
) -> None:
    """Attacks and trainings are given the networks that other cells use."""
    reference = tasks.networks(cells[0]).classifier
    before = {
        name: tensor.clone() for name, tensor in context.network(reference).state_dict().items()
    }

    def task() -> None:
        with context.networks_unchanged():
            change(context.network(reference))
            if fails:
                raise ZeroDivisionError

    message = "changed the weights, the mode or the hooks of classifier cnn"
    with pytest.raises(
        ZeroDivisionError if fails else PluginFault, match=None if fails else message
    ):
        task()

    module = context.network(reference)
    assert not module.training
    assert not module._forward_hooks
    assert not module._backward_hooks
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_a_network_that_is_left_alone_stays_in_memory(
    context: TaskContext, tasks: CellTasks, cells: list[Cell]
) -> None:
    reference = tasks.networks(cells[0]).classifier
    with context.networks_unchanged():
        module = context.network(reference)
        module(torch.rand(2, 1, 28, 28))
    assert context.network(reference) is module
