"""The cascade of the threat model `adaptive` on tiny networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, StandIn
from bench.errors import PluginFault, RequestError
from bench.plugins.configured import configure
from bench.registry import ATTACKS, DEFENSES, register_defense
from bench.stages.cascade_budgets import BUDGETS, Cascade, Member, cascade_attack
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.stages.threats import threat_model
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig
from bench.sweep.grid import Grid

EPS = 0.15


class _Steps(nn.Module):
    """Pixels rounded to black or white, which have no gradient."""

    def __init__(self, offer: Mapping[str, StandIn]) -> None:
        super().__init__()
        self.offer = offer

    def forward(self, images: Tensor) -> Tensor:
        return images.round()

    def stand_ins(self) -> Mapping[str, StandIn]:
        return self.offer


@register_defense("test-steps")
@dataclass(frozen=True)
class Steps(Defense):
    """Rounding with stand-ins of choice."""

    offers: str = "none"

    def build(self, data: DataInfo) -> nn.Module:
        def failing(images: Tensor) -> Tensor:
            raise RuntimeError("this stand-in is broken")

        steep = StandIn(lambda images: torch.sigmoid(10 * (images - 0.5)), backward_only=True)
        offers = {"none": {}, "steep": {"steep": steep}, "failing": {"failing": StandIn(failing)}}
        return _Steps(offers[self.offers])


class _Coin(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        heads = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
        return torch.where(heads, images, torch.zeros_like(images))


@register_defense("test-coin")
@dataclass(frozen=True)
class Coin(Defense):
    """A black image, or the image itself, by the toss of a coin."""

    stochastic = True

    def build(self, data: DataInfo) -> nn.Module:
        return _Coin()


def cell_of(config: RunConfig, defense: str, **changes: object) -> Cell:
    (base, *_) = Grid.of(config).cells()
    cell = dataclasses.replace(
        base,
        attack=cascade_attack("linf", "quick"),
        defense=configure(DEFENSES, defense, config.parameters),
        threat=threat_model("adaptive:budget=quick"),
        eps=EPS,
    )
    return dataclasses.replace(cell, **changes)  # type: ignore[arg-type]


@pytest.fixture
def tasks(context: TaskContext, tiny_config: RunConfig) -> CellTasks:
    config = tiny_config.model_copy(update={"draws": 2, "convergence": 0})
    return CellTasks(LocalExecutor(context), context, config)


@pytest.mark.parametrize("defense", ["none", "convae", "puvae", "test-steps"])
def test_the_account_adds_up(tasks: CellTasks, tiny_config: RunConfig, defense: str) -> None:
    cell = cell_of(tiny_config, defense)
    result = tasks.result(cell, tasks.networks(cell))
    clean, *members = result.cascade
    assert (clean.name, clean.attacked) == ("clean images", tiny_config.n)

    standing = clean.attacked
    for member in result.cascade:
        assert member.attacked == standing
        standing -= member.broken
    outcome = result.outcome
    assert outcome.broken_by is not None
    assert outcome.broken_by.max() <= len(members)
    assert (outcome.linf <= EPS + 1e-6).all()
    assert ((outcome.linf > 0) == (outcome.broken_by > 0)).all()
    right = (outcome.adversarial_defended == outcome.labels).all(axis=0)
    if not cell.properties().stochastic:
        assert right.sum() == standing
        assert outcome.attacked.sum() == clean.attacked - clean.broken


def test_it_is_at_least_as_strong_as_each_set_it_is_given(
    tasks: CellTasks, tiny_config: RunConfig
) -> None:
    cell = cell_of(tiny_config, "convae")
    networks = tasks.networks(cell)
    adaptive = tasks.result(cell, networks).outcome
    for attack in ("fgsm", "pgd:norm=linf"):
        gray = dataclasses.replace(
            cell, attack=configure(ATTACKS, attack), threat=threat_model("graybox")
        )
        outcome = tasks.result(gray, networks).outcome
        fooled = (outcome.adversarial_defended != outcome.labels)[0]
        assert ((adaptive.adversarial_defended != adaptive.labels)[0] >= fooled).all()


def test_it_is_the_same_in_another_order_of_commands(
    tasks: CellTasks, tiny_config: RunConfig
) -> None:
    cell = cell_of(tiny_config, "convae")
    networks = tasks.networks(cell)
    first = tasks.cascades.run(cell, networks)
    torch.manual_seed(1)
    again = tasks.cascades.run(cell, networks)
    assert first.reference == again.reference
    assert first.members == again.members


def test_a_declared_stand_in_is_a_member_of_its_own(
    tasks: CellTasks, tiny_config: RunConfig
) -> None:
    cells = [cell_of(tiny_config, f"test-steps:offers={offer}") for offer in ("none", "steep")]
    without, steep = (tasks.result(cell, tasks.networks(cell)) for cell in cells)
    names = [member.name for member in steep.cascade]
    assert "stand-in steep" in names
    assert not any("stand-in" in member.name for member in without.cascade)


def few_members(monkeypatch: pytest.MonkeyPatch, *members: Member) -> dict[str, object]:
    """Changes of a cell that attack it with these members only."""
    budget = dataclasses.replace(BUDGETS["quick"], members=members)
    monkeypatch.setitem(BUDGETS, "few", budget)  # type: ignore[arg-type]
    threat = dataclasses.replace(threat_model("adaptive"), budget="few")
    return {"attack": cascade_attack("linf", "few"), "threat": threat}


APGD = "apgd:norm={norm}:steps=5"


_EXACT = Member("exact gradient", "whitebox", APGD)
_IDENTITY = Member("identity backward", "bpda", APGD)
_STAND_IN = Member("stand-in", "stand-in", APGD)


@pytest.mark.parametrize(
    ("defense", "members", "strongest"),
    [
        ("gaussian_noise:std=0.01", [_EXACT], "exact gradient"),
        ("test-steps", [_EXACT, _IDENTITY], "identity backward"),
        ("test-steps", [_IDENTITY, _EXACT], "identity backward"),
        ("test-steps:offers=steep", [_EXACT, _STAND_IN], "stand-in steep"),
    ],
)
def test_the_gradient_that_broke_most_is_followed_again(
    tasks: CellTasks,
    tiny_config: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
    defense: str,
    members: list[Member],
    strongest: str,
) -> None:
    """The exact gradient of a rounding is zero, so that only its random start may break images."""
    last = Member("strongest gradient", "strongest", f"{APGD}:loss=targeted")
    cell = cell_of(tiny_config, defense, **few_members(monkeypatch, *members, last))
    left = tasks.cascades.run(cell, tasks.networks(cell))
    assert left.members[-1].attack == "apgd:norm=linf:steps=5:loss=targeted"
    assert left.members[-1].name == f"strongest gradient ({strongest})"


def test_a_search_goes_on_from_the_images_that_stand(
    tasks: CellTasks, tiny_config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One query on the images as the gradient left them keeps their margins."""
    gradient = Member("exact gradient", "whitebox", APGD)
    search = Member("scores", "query", "square:norm={norm}:queries=1")
    cell = cell_of(tiny_config, "convae", **few_members(monkeypatch, gradient, search))
    networks = tasks.networks(cell)
    left = tasks.cascades.run(cell, networks)
    alone = cell_of(tiny_config, "convae", **few_members(monkeypatch, gradient))
    before = tasks.cascades.run(alone, networks)
    np.testing.assert_allclose(
        left.artifact.tensors["margin"], before.artifact.tensors["margin"], atol=1e-4
    )
    assert left.members[-1].forward == left.members[-1].attacked > 0


def test_a_broken_stand_in_fails_the_cell(tasks: CellTasks, tiny_config: RunConfig) -> None:
    cell = cell_of(tiny_config, "test-steps:offers=failing")
    with pytest.raises(PluginFault, match="this stand-in is broken"):
        tasks.result(cell, tasks.networks(cell))


def test_one_lucky_draw_does_not_let_an_image_go(tasks: CellTasks, tiny_config: RunConfig) -> None:
    cell = cell_of(tiny_config, "test-coin")
    left = tasks.cascades.run(cell, tasks.networks(cell))
    wrong = left.artifact.tensors["wrong"]
    draws = BUDGETS["quick"].confirm
    np.testing.assert_allclose(wrong * draws, np.round(wrong * draws), atol=1e-5)
    # A black image is wrong unless it is the classifier's guess, so half of the draws are wrong.
    clean = left.members[0]
    assert clean.broken < 0.3 * clean.attacked
    assert ((wrong > 0) & (wrong < 1)).any()


def test_an_attack_that_does_not_apply_gives_its_reason(
    tasks: CellTasks, tiny_config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    standard = BUDGETS["standard"].members
    few = [member for member in standard if member.name in ("decisions", "latent codes")]
    cell = cell_of(tiny_config, "test-coin", **few_members(monkeypatch, *few))
    left = tasks.cascades.run(cell, tasks.networks(cell))
    reasons = {member.name: member.reason for member in left.members}
    assert "draws randomness" in reasons["decisions"]
    assert "generator" in reasons["latent codes"]


def test_budgets_have_members_in_both_norms() -> None:
    for name in BUDGETS:
        for norm in ("linf", "l2"):
            members = Cascade(norm, name).members  # type: ignore[arg-type]
            assert members
            assert all(attack.plugin.ball() == norm for _, attack in members)


def test_the_grid_has_one_row_for_the_cascade(tiny_config: RunConfig) -> None:
    config = tiny_config.model_copy(
        update={"threats": ("graybox", "adaptive:budget=quick"), "attacks": ("fgsm", "pgd", "cw")}
    )
    cells = [cell for cell in Grid.of(config).cells() if cell.defense.name == "none"]
    adaptive = [(cell.attack.label, cell.eps) for cell in cells if cell.threat.kind.cascade]
    assert adaptive == [
        ("cascade", 0.1),
        ("cascade", 0.3),
        ("cascade:norm=l2", 0.1),
        ("cascade:norm=l2", 0.3),
    ]
    own = config.model_copy(update={"attack_eps": {"cascade": (0.2,)}})
    budgets = [cell.eps for cell in Grid.of(own).cells() if cell.attack.label == "cascade"]
    assert budgets == [0.2, 0.2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adaptive:budget=fast", r"unknown budget .* \(choose from: full, quick, standard\)"),
        ("adaptive:eot=2", r"unknown parameter of threat model 'adaptive': 'eot'"),
        ("whitebox:draw=known", "draw=known: must be fresh or fixed"),
        ("whitebox:draw=fixed:eot=2", "nothing to average"),
    ],
)
def test_wrong_parameters_are_refused(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        threat_model(text)


def test_a_known_draw_is_evaluated_as_it_was_attacked(
    context: TaskContext, tiny_config: RunConfig
) -> None:
    config = tiny_config.model_copy(update={"draws": 3, "convergence": 0})
    tasks = CellTasks(LocalExecutor(context), context, config)
    attack = configure(ATTACKS, "pgd", config.parameters)
    fresh, known = (
        cell_of(config, "gaussian_noise:std=0.5", attack=attack, threat=threat_model(text))
        for text in ("whitebox", "whitebox:draw=fixed")
    )
    outcomes = [tasks.result(cell, tasks.networks(cell)).outcome for cell in (fresh, known)]
    assert [len(outcome.adversarial_defended) for outcome in outcomes] == [3, 1]
    accuracies = [(o.adversarial_defended == o.labels).mean() for o in outcomes]
    assert accuracies[1] < accuracies[0]
