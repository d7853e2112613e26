"""Whatever a plugin raises in a stage fails its own cells with one clean line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.errors import NotApplicable, PluginFault
from bench.plugins.configured import configure
from bench.plugins.discovery import import_plugin
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES
from bench.stages.context import TaskContext
from bench.stages.crafting import parameters_at_budget
from bench.stages.executor import LocalExecutor
from bench.stages.threats import threat_model
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig
from bench.sweep.grid import Grid
from tests.plugins.kinds import KINDS, MEMORY, as_under_the_command_line, assert_clean

FEW_KINDS = ("exit_0", "escapes", "unprintable")
"""Kinds for the stages that few plugins reach."""


@pytest.fixture(autouse=True)
def _plugins(plugins: Path) -> Iterator[None]:
    import_plugin(str(plugins / "raising.py"))
    import_plugin(str(plugins / "faulty.py"))
    with as_under_the_command_line():
        yield


@pytest.fixture
def tasks(context: TaskContext, tiny_config: RunConfig) -> CellTasks:
    return CellTasks(LocalExecutor(context), context, tiny_config)


@pytest.fixture
def cell(tiny_config: RunConfig) -> Cell:
    return next(iter(Grid.of(tiny_config).cells()))


def fault(tasks: CellTasks, cell: Cell) -> str:
    """The message with which a cell fails."""
    with pytest.raises(PluginFault) as caught:
        tasks.result(cell, tasks.networks(cell))
    assert_clean(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", ["build", "fit", "fit_batch", "forward"])
def test_a_defense_that_raises_fails(tasks: CellTasks, cell: Cell, stage: str, kind: str) -> None:
    spec = f"raising:stage={stage}:kind={kind}"
    message = fault(tasks, dataclasses.replace(cell, defense=configure(DEFENSES, spec)))
    assert message.startswith(f"defense {spec} raised ")
    if (stage, kind) == ("forward", "cuda_memory"):  # its images were tried one by one
        assert "a single image needs more memory" in message
    else:
        assert ("--batch-size" in message) == (kind in MEMORY)


@pytest.mark.parametrize("kind", FEW_KINDS)
@pytest.mark.parametrize("stage", ["hook", "to", "eval", "freeze", "state_dict", "load"])
def test_a_module_that_raises_in_another_method_fails(
    tasks: CellTasks, cell: Cell, stage: str, kind: str
) -> None:
    spec = f"raising:stage={stage}:kind={kind}"
    message = fault(tasks, dataclasses.replace(cell, defense=configure(DEFENSES, spec)))
    assert message.startswith(f"defense {spec} raised ")


@pytest.mark.parametrize("kind", FEW_KINDS)
@pytest.mark.parametrize("stage", ["build", "forward", "hook", "eval", "state_dict"])
def test_a_classifier_that_raises_fails(
    tasks: CellTasks, cell: Cell, stage: str, kind: str
) -> None:
    spec = f"raising_classifier:stage={stage}:kind={kind}"
    message = fault(tasks, dataclasses.replace(cell, classifier=configure(CLASSIFIERS, spec)))
    assert message.startswith(f"classifier {spec} raised ")


@pytest.mark.parametrize("kind", KINDS)
def test_an_attack_that_raises_fails(tasks: CellTasks, cell: Cell, kind: str) -> None:
    spec = f"raising_attack:stage=perturb:kind={kind}"
    message = fault(tasks, dataclasses.replace(cell, attack=configure(ATTACKS, spec)))
    assert message.startswith(f"attack {spec} raised ")
    assert ("--batch-size" in message) == (kind in MEMORY)


@pytest.mark.parametrize("kind", FEW_KINDS)
@pytest.mark.parametrize("stage", ["forward", "attribute"])
@pytest.mark.parametrize("threat", ["whitebox", "bpda", "query"])
def test_a_defense_that_raises_while_it_is_attacked_fails(
    tasks: CellTasks, cell: Cell, threat: str, stage: str, kind: str
) -> None:
    spec = f"raising:stage={stage}:kind={kind}"
    attacked = dataclasses.replace(
        cell, defense=configure(DEFENSES, spec), threat=threat_model(threat)
    )
    assert fault(tasks, attacked).startswith(f"defense {spec} ")


def test_what_an_attack_gives_as_its_reason_to_be_skipped_is_made_clean(
    tasks: CellTasks, cell: Cell
) -> None:
    skipped = dataclasses.replace(cell, attack=configure(ATTACKS, "raising_attack:stage=skip"))
    with pytest.raises(NotApplicable, match=r"^not here ever") as caught:
        tasks.result(skipped, tasks.networks(skipped))
    assert_clean(str(caught.value))


@pytest.mark.parametrize("kind", KINDS)
def test_an_attack_that_raises_when_it_describes_itself_fails(kind: str) -> None:
    attack = configure(ATTACKS, f"raising_attack:stage=describe:kind={kind}")
    with pytest.raises(PluginFault, match=r"^attack raising_attack") as caught:
        parameters_at_budget(attack, 0.1)
    assert_clean(str(caught.value))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("infinite", "raised ValueError: describe.* not finite"),
        ("number_as_name", "raised TypeError: describe.* not text: 1"),
        ("list", "raised TypeError: float"),
        ("many", "describes 1000 parameters"),
    ],
)
def test_a_description_that_cannot_be_recorded_is_a_fault(how: str, reason: str) -> None:
    attack = configure(ATTACKS, f"broken_attack:how={how}")
    with pytest.raises(PluginFault, match=reason):
        parameters_at_budget(attack, 0.1)


def test_the_text_of_a_description_is_made_clean() -> None:
    attack = configure(ATTACKS, "broken_attack:how=text")
    assert parameters_at_budget(attack, 0.1) == {"step": "small"}


@pytest.mark.parametrize(
    ("role", "spec"), [("classifier", "in_place"), ("attack", "broken_attack:how=in_place")]
)
@pytest.mark.parametrize("threat", ["graybox", "whitebox"])
def test_plugins_that_work_in_place_do_not_reach_the_test_images(
    tasks: CellTasks,
    cell: Cell,
    context: TaskContext,
    tiny_config: RunConfig,
    role: str,
    spec: str,
    threat: str,
) -> None:
    before = [tensor.clone() for tensor in context.images(context.split("digits", tiny_config.n))]
    registry = {"classifier": CLASSIFIERS, "attack": ATTACKS}[role]
    changed = dataclasses.replace(
        cell, threat=threat_model(threat), **{role: configure(registry, spec)}
    )
    tasks.result(changed, tasks.networks(changed))

    after = context.images(context.split("digits", tiny_config.n))
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
