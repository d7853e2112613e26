"""Plugins that mislead an evaluation carry a mark under one threat model, honest ones none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.analysis.checks import verdicts
from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.verdict import Verdict
from bench.plugins.discovery import discover
from bench.records.cell import CellRecord
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig
from bench.sweep.grid import Grid

pytestmark = pytest.mark.slow

Judge = Callable[..., Verdict]

PGD = "pgd:steps=15"

HONEST = (
    "honest_blur", "honest_median", "honest_autoencoder", "honest_dct", "honest_total_variation",
    "honest_resize_and_pad", "honest_quantizer", "honest_projection", "honest_wavelet",
    "honest_noise",
)  # fmt: skip

PURIFIERS = {
    "false_gradient:how=negative": "gradient of the purifier misleads",
    "false_gradient:how=random": "gradient of the purifier misleads",
    "false_gradient:how=ripple": "gradient of the purifier misleads",
    "two_faced": "gives the attacker other logits than when evaluated",
    "memory": "gradient of the purifier",
    "leak": "into clean test images",
    "undeclared": "two calls differ",
}
"""Tricks of a purifier that white-box alone sees, with a part of the reason."""

CLASSIFIERS = {
    "false_classifier:how=negative": "gradient of the classifier misleads",
    "false_classifier:how=random": "gradient of the classifier misleads",
    "false_classifier:how=ripple": "gradient of the classifier misleads",
    "false_classifier:how=two_faced": "gives the attacker other logits than when evaluated",
}
"""Tricks of a classifier that every threat model with a gradient sees."""

ATTACKS = {
    "false_attack:how=half": "the attack moved",
    "false_attack:how=noise": "noise of its size",
}
"""Tricks of an attack."""


@pytest.fixture
def judge(context: TaskContext, tiny_config: RunConfig, plugins: Path) -> Judge:
    """The verdict on a run of a single cell, by what differs from the tiny configuration."""
    discover([str(plugins / "tricks.py"), str(plugins / "honest.py")])
    base = tiny_config.model_copy(
        update={"n": 32, "convergence": 24, "eps": (0.15,), "draws": 4, "attacks": (PGD,)}
    )

    def verdict(**axes: str) -> Verdict:
        config = base.model_copy(update={axis: (spec,) for axis, spec in axes.items()})
        (cell,) = Grid.of(config).cells()
        tasks = CellTasks(LocalExecutor(context), context, config)
        outcome = tasks.result(cell, tasks.networks(cell)).outcome
        (found,) = verdicts([EvaluatedCell(_record(cell, tasks), outcome)]).values()
        return found

    return verdict


def _record(cell: Cell, tasks: CellTasks) -> CellRecord:
    return CellRecord(
        key=tasks.cell_key(cell),
        labels=cell.labels(),
        properties=cell.properties(),
        data=tasks.test_digest(cell),
        n=32,
        status="ok",
        reason="",
        parameters={},
        networks={},
        environment="",
    )


@pytest.mark.parametrize("defense", PURIFIERS)
def test_a_trick_of_the_purifier_is_seen_under_whitebox_alone(judge: Judge, defense: str) -> None:
    found = judge(defenses=defense, threats="whitebox")
    assert found.level != "ok"
    assert PURIFIERS[defense] in "; ".join(found.reasons)


@pytest.mark.parametrize("threat", ["graybox", "whitebox", "bpda"])
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_trick_of_the_classifier_is_seen_in_every_cell(
    judge: Judge, classifier: str, threat: str
) -> None:
    found = judge(classifiers=classifier, defenses="honest_blur", threats=threat)
    assert found.level == "invalid"
    assert CLASSIFIERS[classifier] in "; ".join(found.reasons)


@pytest.mark.parametrize("threat", ["graybox", "whitebox"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_trick_of_the_attack_is_seen(judge: Judge, attack: str, threat: str) -> None:
    found = judge(attacks=attack, defenses="honest_blur", threats=threat)
    assert found.level != "ok"
    assert ATTACKS[attack] in "; ".join(found.reasons)


def test_an_attack_that_ignores_eot_counts_as_one_without_it(judge: Judge) -> None:
    found = judge(
        attacks="false_attack:how=one_draw", defenses="declared", threats="whitebox:eot=4"
    )
    assert found.level == "suspect"
    assert "the attack ignores eot" in "; ".join(found.reasons)


@pytest.mark.parametrize("defense", HONEST)
def test_an_honest_defense_carries_no_mark_under_graybox(judge: Judge, defense: str) -> None:
    assert judge(defenses=defense, threats="graybox") == Verdict("ok")


@pytest.mark.parametrize("defense", HONEST)
def test_an_honest_defense_carries_no_mark_under_whitebox(judge: Judge, defense: str) -> None:
    """The attack averages over the draws of the one that is randomized."""
    assert judge(defenses=defense, threats="whitebox:eot=4") == Verdict("ok")
