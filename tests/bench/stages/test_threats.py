"""Threat models against plain loops, and the verdicts on purifiers that hide their gradient."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.analysis.metrics import accuracy
from bench.errors import NotApplicable, RequestError
from bench.plugins.configured import configure
from bench.registry import ATTACKS, DEFENSES
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.stages.surrogates import BackwardThrough, DefendedClassifier, NoGradient
from bench.stages.threats import THREATS, threat_model
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig
from bench.sweep.grid import Grid

STEPS, RATE = 10, 0.25


class Noisy(nn.Module):
    """A random purifier."""

    def forward(self, images: Tensor) -> Tensor:
        return (0.8 * images + 0.2 * torch.rand_like(images)).clamp(0, 1)


class Squared(nn.Module):
    """A purifier with a gradient of its own."""

    def forward(self, images: Tensor) -> Tensor:
        return images**2


CLASSIFIER = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).requires_grad_(False).eval()
IMAGES = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def gradient(model: nn.Module) -> Tensor:
    inputs = IMAGES.clone().requires_grad_(True)
    (result,) = torch.autograd.grad(model(inputs).square().sum(), inputs)
    return result


class TestSurrogates:
    def test_every_threat_model_gives_the_pipelines_or_a_classifiers_logits(self) -> None:
        other = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).requires_grad_(False).eval()
        defended, bare = CLASSIFIER(IMAGES**2), CLASSIFIER(IMAGES)
        expected = {"graybox": bare, "transfer": other(IMAGES)}
        for name, threat in THREATS.items():
            if threat.surrogate is not None:
                model = threat.surrogate(Squared(), CLASSIFIER, other)
                torch.testing.assert_close(
                    model(IMAGES), expected.get(name, defended), rtol=0, atol=0
                )

    def test_bpda_takes_the_gradient_at_the_purified_image_and_passes_it_through(self) -> None:
        purified = (IMAGES**2).requires_grad_(True)
        (expected,) = torch.autograd.grad(CLASSIFIER(purified).square().sum(), purified)
        torch.testing.assert_close(
            gradient(DefendedClassifier(BackwardThrough(Squared()), CLASSIFIER)), expected
        )

    def test_whitebox_takes_the_exact_gradient(self) -> None:
        passed = gradient(DefendedClassifier(BackwardThrough(Squared()), CLASSIFIER))
        torch.testing.assert_close(
            gradient(DefendedClassifier(Squared(), CLASSIFIER)), 2 * IMAGES * passed
        )

    def test_a_cut_graph_is_a_zero_gradient_and_no_error(self) -> None:
        class Cut(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return images.detach() ** 2

        assert torch.equal(
            gradient(DefendedClassifier(Cut(), CLASSIFIER)), torch.zeros_like(IMAGES)
        )

    def test_query_access_gives_no_gradient(self) -> None:
        assert not NoGradient(DefendedClassifier(Squared(), CLASSIFIER))(
            IMAGES.clone().requires_grad_(True)
        ).requires_grad

    def test_the_purifier_is_asked_anew_at_every_step(self) -> None:
        model = DefendedClassifier(BackwardThrough(Noisy()), CLASSIFIER)
        assert not torch.equal(model(IMAGES), model(IMAGES))


class TestSpecs:
    def test_a_spec_sets_draws_and_substitute(self) -> None:
        assert threat_model("whitebox:eot=20").eot == 20
        substitute = threat_model("transfer:substitute=[cnn:width=16]").substitute
        assert substitute is not None
        assert substitute.parameters["width"] == 16

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("whitbox", "did you mean 'whitebox'"),
            (
                "graybox:eot=2",
                r"unknown parameter of threat model 'graybox': 'eot' \(choose from: none\)",
            ),
            ("whitebox:eot=0", "eot=0: must be a whole number of at least 1"),
            ("whitebox:eto=2", "did you mean 'eot'"),
            ("transfer:substitute=cnm", "unknown classifier 'cnm'"),
        ],
    )
    def test_a_wrong_one_is_refused_in_one_line(self, text: str, message: str) -> None:
        with pytest.raises(RequestError, match=message):
            threat_model(text)

    @pytest.mark.parametrize(
        ("threat", "attack", "reason"),
        [("query", "fgsm", "follows a gradient"), ("bpda", "boundary", "its threat model is query"),
         ("noise", "spatial", "not a norm")],
    )  # fmt: skip
    def test_an_attack_that_makes_no_sense_is_refused(
        self, threat: str, attack: str, reason: str
    ) -> None:
        with pytest.raises(NotApplicable, match=reason):
            threat_model(threat).check_applies(configure(ATTACKS, attack))


def sign_steps(
    images: Tensor,
    labels: Tensor,
    eps: float,
    classifier: nn.Module,
    purifier: nn.Module,
    how: str,
    draws: int,
) -> Tensor:
    """PGD without a random start: BPDA, white-box, and the mean gradient over draws of either."""
    adversarial = images
    for _ in range(STEPS):
        total = torch.zeros_like(images)
        for _ in range(draws):
            inputs = adversarial.detach().requires_grad_(True)
            purified = purifier(inputs)
            if how == "bpda":
                purified = purified.detach().requires_grad_(True)
            loss = cross_entropy(classifier(purified), labels, reduction="sum")
            total += torch.autograd.grad(loss, purified if how == "bpda" else inputs)[0]
        adversarial = adversarial + eps * RATE * total.sign()
        adversarial = torch.min(torch.max(adversarial, images - eps), images + eps).clamp(0, 1)
    return adversarial


@pytest.mark.parametrize(
    ("threat", "defense", "draws", "eps"),
    [
        ("bpda", "convae", 1, 0.1),
        ("whitebox", "convae", 1, 0.1),
        ("whitebox", "puvae:noise=0", 1, 0.4),
        ("bpda:eot=3", "puvae:noise=1.0", 3, 0.3),
        ("whitebox:eot=3", "gaussian_noise:std=0.3", 3, 0.1),
        ("whitebox", "defensegan:restarts=2:steps=5", 1, 0.3),
    ],
)
def test_a_plain_loop_is_as_strong(
    context: TaskContext, tiny_config: RunConfig, threat: str, defense: str, draws: int, eps: float
) -> None:
    attack = f"pgd:steps={STEPS}:rel_stepsize={RATE}:random_start=false"
    config = tiny_config.model_copy(update={"draws": 3 if draws > 1 else 1, "convergence": 0})
    tasks = CellTasks(LocalExecutor(context), context, config)
    (base, *_) = Grid.of(config).cells()
    cell = dataclasses.replace(
        base,
        attack=configure(ATTACKS, attack),
        defense=configure(DEFENSES, defense, config.parameters),
        threat=threat_model(threat, config.parameters),
        eps=eps,
    )
    networks = tasks.networks(cell)
    outcome = tasks.result(cell, networks).outcome
    images, labels = context.images(context.split("digits", config.n))
    classifier, purifier = context.network(networks.classifier), context.network(networks.defense)
    torch.manual_seed(0)
    adversarial = sign_steps(
        images, labels, eps, classifier, purifier, threat.partition(":")[0], draws
    )
    with torch.no_grad():
        predictions = np.stack(
            [classifier(purifier(adversarial)).argmax(1).numpy() for _ in range(config.draws)]
        )
    ours, plain = (
        accuracy(classes, labels.numpy()) for classes in (outcome.adversarial_defended, predictions)
    )
    assert plain.low <= ours.value <= plain.high
    clean = accuracy(outcome.clean_defended, labels.numpy())
    if defense == "puvae:noise=0":
        # This gradient cannot change the class that is chosen, so it breaks hardly any image.
        agree = outcome.adversarial_defended == predictions
        assert float(agree.mean()) > 0.9
    else:
        assert ours.value < clean.value - 0.1
    moved = outcome.linf[outcome.attacked]
    assert moved.max() == pytest.approx(eps, abs=1e-6)
    assert float((adversarial - images).abs().max()) == pytest.approx(eps, abs=1e-6)


def test_a_deterministic_pipeline_attacked_whitebox_without_random_start_gives_the_same_images(
    context: TaskContext, tiny_config: RunConfig
) -> None:
    config = tiny_config.model_copy(update={"convergence": 0, "n": 30})
    tasks = CellTasks(LocalExecutor(context), context, config)
    base = next(iter(Grid.of(config).cells()))
    attack = configure(ATTACKS, f"pgd:steps={STEPS}:rel_stepsize={RATE}:random_start=false")
    defense = configure(DEFENSES, "convae", config.parameters)
    cell = dataclasses.replace(
        base, attack=attack, defense=defense, threat=threat_model("whitebox"), eps=0.1
    )
    networks = tasks.networks(cell)
    result = tasks.result(cell, networks)
    images, labels = context.images(context.split("digits", config.n))
    plain = sign_steps(
        images,
        labels,
        0.1,
        context.network(networks.classifier),
        context.network(networks.defense),
        "whitebox",
        1,
    )
    attacked = torch.from_numpy(result.outcome.attacked)[:10]
    ours = torch.from_numpy(result.images.adversarial) / 255
    same = (ours - plain[:10]).abs().flatten(1).amax(dim=1) < 0.003  # half a level of gray
    # A sign may flip where the gradient is almost zero.
    assert float(same[attacked].float().mean()) >= 0.8


class TestWhatIsShared:
    @pytest.fixture
    def cells(self, tiny_config: RunConfig) -> list[Cell]:
        config = tiny_config.model_copy(
            update={
                "threats": tuple(THREATS),
                "eps": (0.1,),
                "attacks": ("fgsm", "pgd"),
                "defenses": ("none", "jpeg"),
            }
        )
        return list(Grid.of(config).cells())

    def test_a_set_is_crafted_once_for_all_that_it_does_not_depend_on(
        self, context: TaskContext, tiny_config: RunConfig, cells: list[Cell]
    ) -> None:
        tasks = CellTasks(LocalExecutor(context), context, tiny_config)
        keys: dict[str, set[str]] = {}
        for cell in cells:
            if cell.threat.kind.cascade:
                continue  # its sets are those of its steps, see test_cascade.py
            task = tasks.craft_task(cell, tasks.networks(cell))
            keys.setdefault(cell.threat.label, set()).add(task.key)
        assert {threat: len(sets) for threat, sets in keys.items()} == {
            "noise": 1, "transfer": 2, "graybox": 2, "query": 4, "bpda": 4, "whitebox": 4,
        }  # fmt: skip

    def test_draws_of_a_deterministic_defense_are_not_in_the_key(
        self, context: TaskContext, tiny_config: RunConfig, cells: list[Cell]
    ) -> None:
        tasks = CellTasks(LocalExecutor(context), context, tiny_config)
        cell = next(cell for cell in cells if cell.threat.label == "bpda")
        many = dataclasses.replace(cell, threat=threat_model("bpda:eot=5"))
        networks = tasks.networks(cell)
        assert tasks.craft_task(cell, networks).key == tasks.craft_task(many, networks).key

    def test_the_substitute_is_another_network_than_the_target(
        self, context: TaskContext, tiny_config: RunConfig, cells: list[Cell]
    ) -> None:
        tasks = CellTasks(LocalExecutor(context), context, tiny_config)
        cell = next(cell for cell in cells if cell.threat.label == "transfer")
        networks = tasks.networks(cell)
        assert networks.substitute is not None
        assert networks.substitute.digest != networks.classifier.digest


def test_masked_gradients_are_reported_and_the_worst_case_is_bpdas(
    bench, tiny: Path, plugins: Path
) -> None:  # type: ignore[no-untyped-def]
    done = bench(
        "run", "--config", tiny, "--plugin", plugins / "masked.py",
        "--defenses", "none,detached,flat,shattered", "--threats", "graybox,bpda,whitebox",
        "--attacks", "fgsm,pgd:steps=10:rel_stepsize=0.2", "--eps", "0.15",
        "--n", "100", "--no-latency", "--out", "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    results = pd.read_csv("run/tables/results.csv", keep_default_na=False)
    results = results.set_index(["defense", "threat", "attack"])
    verdicts, reasons = results["verdict"], results["reasons"]
    for defense in ("detached", "flat"):
        for attack in ("fgsm", "pgd:steps=10:rel_stepsize=0.2"):
            cell = (defense, "whitebox", attack)
            assert verdicts[cell] == "invalid", cell
            assert "zero, NaN or infinite gradient at 100% of the images" in reasons[cell]
        assert "the attack moved 0% of the images" in reasons[defense, "whitebox", "fgsm"]
        assert verdicts[defense, "bpda", "fgsm"] == "ok"
    shattered = ("shattered", "whitebox", "pgd:steps=10:rel_stepsize=0.2")
    assert verdicts[shattered] == "invalid"
    assert "weaker than under bpda" in reasons[shattered]
    results = pd.read_csv("run/tables/results.csv")
    worst = pd.read_csv("run/tables/worst_case.csv").set_index("defense")
    bpda = results[results["threat"] == "bpda"].groupby("defense")["robust_accuracy"].min()
    whitebox = results[results["threat"] == "whitebox"].groupby("defense")["robust_accuracy"].min()
    for defense in ("detached", "flat", "shattered"):
        assert worst.loc[defense, "worst_case_accuracy"] <= bpda[defense] < whitebox[defense] - 0.2
    assert bench("report", "run", "--strict").code == 1
