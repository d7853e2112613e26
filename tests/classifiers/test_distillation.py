"""Defensive distillation: its loss, its identity, and the gradient that vanishes and misleads."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.conformance import conformance
from bench.contracts import DataInfo, Spec
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.progress import Silent
from bench.registry import ATTACKS, CLASSIFIERS
from bench.stages.crafting import perturb
from bench.stages.datasets import load_dataset
from bench.stages.pixels import Split
from bench.stages.seeding import seeded
from bench.stages.train import fitted
from bench.stages.training import TrainingContext
from classifiers.cnn import CNN

CPU = torch.device("cpu")
INFO = DataInfo((1, 28, 28), 10)
TEACHER = Spec("cnn")


def context(teacher: nn.Module | None, split: Split, max_steps: int | None = None) -> Any:
    return TrainingContext(
        title="x",
        data=INFO,
        split=split,
        seed="s",
        progress=Silent(),
        member=lambda spec: teacher,  # type: ignore[arg-type, return-value]
        max_steps=max_steps,
    )


def random_split(n: int = 8) -> Split:
    torch.manual_seed(0)
    return Split.of(torch.rand(n, *INFO.shape), torch.arange(n) % 10)


@pytest.mark.parametrize("distill", [None, TEACHER])
@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_the_loss_is_the_papers(distill: Spec | None, temperature: float) -> None:
    """Minus the sum over the classes of F_i(X) log(exp(z_i / T) / sum exp(z_j / T))."""
    split = random_split()
    settings = CNN(width=2, hidden=4, batch_size=8, distill=distill, temperature=temperature)
    teacher = CNN(width=3, hidden=4).build(INFO).eval()
    module = settings.build(INFO).train()
    before = copy.deepcopy(module)
    fit = context(teacher, split, max_steps=1)
    settings.fit(module, fit)

    total = 0.0
    for image, label in zip(split.images, split.labels, strict=True):
        z, teacher_z = (net(image[None]).detach().double()[0] for net in (before, teacher))
        targets = torch.zeros(10).double()
        targets[label] = 1
        if distill:
            targets = (teacher_z / temperature).exp() / (teacher_z / temperature).exp().sum()
        student = (z / temperature).exp() / (z / temperature).exp().sum()
        total -= float((targets * student.log()).sum())
    assert fit.history["loss"][0][1] == pytest.approx(total / 8, abs=2e-6)


@pytest.mark.parametrize(
    "spec", ["cnn:width=2:hidden=4", "resnet18:width=2", "vgg16:hidden=8:batch_norm=true"]
)
def test_every_classifier_that_is_trained_here_can_be_distilled(spec: str) -> None:
    asked: list[int] = []
    teacher = CNN(width=2, hidden=4).build(INFO).eval()
    teacher.register_forward_hook(lambda _, inputs, __: asked.append(len(inputs[0])))
    plugin = configure(
        CLASSIFIERS, f"{spec}:epochs=1:batch_size=8:distill=[cnn:width=2]:temperature=20"
    ).plugin
    fit = context(teacher, random_split())
    plugin.fit(plugin.build(INFO).train(), fit)
    assert asked == [8]
    assert 0 < fit.history["loss"][0][1] < 20


def test_a_distilled_network_conforms() -> None:
    small = "width=4:hidden=8:batch_size=4:temperature=20"
    spec = f"cnn:{small}:distill=[cnn:{small}]"
    assert [found.reason for found in conformance("classifier", spec) if found.reason] == []


def test_a_distilled_network_is_keyed_by_its_teacher() -> None:
    spec = "cnn:distill=[cnn:temperature=20]:temperature=20"
    configured = configure(CLASSIFIERS, spec, {"cnn": {"epochs": 15}})
    parameters = configured.training_identity["parameters"]
    assert parameters["temperature"] == 20
    teacher = parameters["distill"]["parameters"]
    assert (teacher["epochs"], teacher["temperature"]) == (15, 20)
    assert configure(CLASSIFIERS, configured.resolved).identity == configured.identity
    other = configure(CLASSIFIERS, "cnn:distill=[cnn]:temperature=20", {"cnn": {"epochs": 15}})
    assert other.identity != configured.identity


@pytest.mark.parametrize("name", ["cnn", "resnet18", "vgg16"])
def test_a_temperature_of_one_is_the_network_of_before(name: str) -> None:
    plain = configure(CLASSIFIERS, name).training_identity
    assert {"distill", "temperature"}.isdisjoint(plain["parameters"])
    for option in ("temperature=1", "temperature=none:distill=none"):
        found = configure(CLASSIFIERS, f"{name}:{option}").training_identity
        assert json.dumps(found) == json.dumps(plain)


@pytest.mark.parametrize("name", ["cnn", "resnet18", "vgg16"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("temperature=0", "parameter temperature=0: .* greater than 0"),
        ("distill=[cnm]", "unknown classifier 'cnm' .*did you mean 'cnn'"),
        ("distill=[cnn]:adversarial=fgsm:eps=0.1", "parameter adversarial: not together with"),
        ("temperature=20:adversarial=fgsm:eps=0.1", "parameter adversarial: not together with"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, given: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        configure(CLASSIFIERS, f"{name}:{given}")


BUDGET = "cnn:width=8:hidden=64:batch_size=40:epochs=14:learning_rate=5e-3"
TEACHER_ALONE = ":temperature=30"
DISTILLED = ":distill=[cnn:temperature=30]:temperature=30"


@cache
def digits() -> tuple[Split, Tensor, Tensor]:
    """Training images of the digits, and test images with their labels."""
    data = load_dataset("digits", Path())
    split = Split.of(data.train.images[:640], data.train.labels[:640])
    return split, data.test.images[:60], data.test.labels[:60]


@cache
def trained(options: str) -> nn.Module:
    """A network trained on the digits; a student is taught by the one of `TEACHER_ALONE`."""
    plugin = configure(CLASSIFIERS, f"{BUDGET}{options}").plugin
    teacher = trained(TEACHER_ALONE) if "distill" in options else None
    with seeded(CPU, "digits"):
        return fitted(plugin, "x", context(teacher, digits()[0]), CPU)


def accuracy(module: nn.Module, images: Tensor) -> float:
    return float((module(images).argmax(1) == digits()[2]).float().mean())


def attacked(attack: str, options: str, eps: float) -> float:
    """Accuracy of a trained network under an attack on it."""
    module, (_, images, labels) = trained(options), digits()
    with seeded(CPU, "attack"):
        found = perturb(configure(ATTACKS, attack), module, images, labels, eps)
    return accuracy(module, found)


def without_gradient(options: str) -> float:
    """The share of images at which the gradient of the cross-entropy is exactly zero."""
    _, images, labels = digits()
    inputs = images.clone().requires_grad_()
    loss = cross_entropy(trained(options)(inputs), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, inputs)
    return float((gradient.flatten(1) == 0).all(dim=1).float().mean())


@pytest.mark.parametrize("options", [TEACHER_ALONE, DISTILLED])
def test_the_gradient_of_the_cross_entropy_vanishes(options: str) -> None:
    """The teacher alone is trained at the temperature too, so its softmax saturates likewise."""
    assert accuracy(trained(options), digits()[1]) > 0.75
    assert without_gradient(options) > 0.2
    assert without_gradient("") == 0


@pytest.mark.parametrize(
    ("attack", "eps", "is_misled"),
    [
        ("fgsm", 0.2, True),
        ("pgd:steps=10", 0.2, True),
        ("apgd:loss=dlr:steps=10", 0.2, False),
        ("cw:steps=30:binary_search_steps=3:stepsize=0.1:initial_const=0.01", 3.0, False),
    ],
)
def test_losses_of_the_logits_break_what_the_cross_entropy_does_not(
    attack: str, eps: float, is_misled: bool
) -> None:
    """Carlini and Wagner 2017 (arXiv:1608.04644, section VIII)."""
    gain = attacked(attack, DISTILLED, eps) - attacked(attack, "", eps)
    assert gain > 0.2 if is_misled else gain < 0.05
