"""Early stopping (`keep=first`), compared with loops over the whole batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.errors import NotApplicable, RequestError
from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.crafting import perturb
from bench.stages.seeding import seeded

Step = Callable[[Tensor, Tensor], Tensor]
"""From an iterate and the loss gradient there to the next, before it is put back in the ball."""


def first_broken(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    start: Tensor,
    steps: int,
    step: Step,
    project: Step,
) -> tuple[Tensor, Tensor]:
    """The first misclassified iterate of each image, or else the last, and its gradient count."""
    iterate = start
    kept = start.clone()
    gradients = torch.zeros(len(images), dtype=torch.long)
    active = torch.ones(len(images), dtype=torch.bool)
    for _ in range(steps):
        inputs = iterate.detach().requires_grad_(True)
        logits = model(inputs)
        (gradient,) = torch.autograd.grad(cross_entropy(logits, labels, reduction="sum"), inputs)
        gradients += active
        active = active & (logits.argmax(1) == labels)
        iterate = project(step(iterate, gradient), images).clamp(0, 1)
        kept[active] = iterate[active]
    return kept, gradients


def linf(eps: float) -> Step:
    return lambda moved, images: torch.min(torch.max(moved, images - eps), images + eps)


def l2(eps: float) -> Step:
    def project(moved: Tensor, images: Tensor) -> Tensor:
        length = (moved - images).square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        return images + (moved - images) * (eps / length).clamp(max=1)

    return project


def sign(size: float) -> Step:
    return lambda iterate, gradient: iterate + size * gradient.sign()


def unit(size: float) -> Step:
    return lambda iterate, gradient: (
        iterate + size * gradient / gradient.square().sum((1, 2, 3), keepdim=True).sqrt()
    )


def momentum(size: float) -> Step:
    """Dong et al. 2018, equations 6 and 7, with mu = 1."""
    accumulated: list[Tensor] = []

    def step(iterate: Tensor, gradient: Tensor) -> Tensor:
        accumulated.append(gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True))
        return iterate + size * torch.stack(accumulated).sum(dim=0).sign()

    return step


class Counting(nn.Module):
    """A model that counts the images gradients are taken of, and the calls without one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.gradients = 0
        self.plain = 0

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad:
            self.gradients += len(images)
        else:
            self.plain += 1
        return self.model(images)


def right(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images).argmax(1) == labels


CASES = [
    ("bim:steps=8:rel_stepsize=0.2", 0.1, 8, False, lambda: (sign(0.02), linf(0.1))),
    ("mifgsm", 0.15, 10, False, lambda: (momentum(0.015), linf(0.15))),
    ("pgd:steps=20:rel_stepsize=0.1", 0.1, 20, True, lambda: (sign(0.01), linf(0.1))),
    (
        "pgd:norm=l2:steps=10:rel_stepsize=0.2:random_start=false",
        1.5, 10, False, lambda: (unit(0.3), l2(1.5)),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "eps", "steps", "random_start", "rules"), CASES, ids=[case[0] for case in CASES]
)
def test_each_image_leaves_at_its_first_misclassified_iterate(
    trained_cnn: nn.Module,
    digits: tuple[Tensor, Tensor],
    spec: str,
    eps: float,
    steps: int,
    random_start: bool,
    rules: Callable[[], tuple[Step, Step]],
) -> None:
    images, labels = digits
    with seeded(torch.device("cpu"), 1):
        noise = (
            torch.empty_like(images).uniform_(-eps, eps)
            if random_start
            else torch.zeros_like(images)
        )
    step, project = rules()
    start = (images + noise).clamp(0, 1)
    theirs, gradients = first_broken(trained_cnn, images, labels, start, steps, step, project)
    model = Counting(trained_cnn).eval()
    with seeded(torch.device("cpu"), 1):
        ours = perturb(configure(ATTACKS, f"{spec}:keep=first"), model, images, labels, eps)

    # A sign may flip where the gradient is nearly zero.
    same = (ours - theirs).abs().flatten(1).amax(dim=1) < 1e-4
    assert float(same.float().mean()) > 0.95
    assert torch.equal(right(trained_cnn, ours, labels), right(trained_cnn, theirs, labels))

    # Images leave at different steps, so that the batch shrinks several times.
    left = gradients[gradients < steps]
    assert len(left.unique()) > 3

    # No step calls the model without a gradient: two calls test whether the model is
    # deterministic, and foolbox makes one on the finished images.
    assert model.gradients == int(gradients.sum())
    assert model.plain == 3


@pytest.mark.parametrize("spec", [case[0] for case in CASES])
def test_it_saves_gradients_and_never_helps_the_model(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], spec: str
) -> None:
    images, labels = digits
    for eps in (0.05, 0.15) if "l2" not in spec else (0.5, 2.0):
        accuracy, gradients, distance = [], [], []
        for text in (spec, f"{spec}:keep=first"):
            model = Counting(trained_cnn).eval()
            with seeded(torch.device("cpu"), 0):
                adversarial = perturb(configure(ATTACKS, text), model, images, labels, eps)
            accuracy.append(float(right(trained_cnn, adversarial, labels).float().mean()))
            gradients.append(model.gradients)
            distance.append(float((adversarial - images).norm()))
        assert accuracy[1] <= accuracy[0] < 1
        steps = configure(ATTACKS, spec).plugin.steps
        assert gradients[0] == steps * len(images)
        never = round(accuracy[1] * len(images))
        assert steps * never + (len(images) - never) <= gradients[1] < gradients[0]
        # Smaller perturbations flatter a defense that the attacker does not see.
        assert distance[1] < distance[0]


def test_an_image_that_is_wrong_already_stays_as_it_is(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]
) -> None:
    images = digits[0]
    labels = digits[1].clone()
    labels[::2] = (labels[::2] + 1) % 10
    model = Counting(trained_cnn).eval()
    adversarial = perturb(configure(ATTACKS, "bim:keep=first"), model, images, labels, 0.1)
    assert torch.equal(adversarial[::2], images[::2])
    assert bool((adversarial[1::2] != images[1::2]).flatten(1).any(dim=1).all())
    everyone = perturb(configure(ATTACKS, "bim:keep=first"), model, images[::2], labels[::2], 0.1)
    assert torch.equal(everyone, images[::2])  # No image is left after the first step.


@pytest.mark.parametrize("spec", ["bim", "mifgsm", "pgd"])
class TestWhereItIsRefused:
    """A model that draws randomness, and a targeted attack."""

    def test_a_random_model(
        self, spec: str, linear: nn.Module, gray_images: tuple[Tensor, Tensor]
    ) -> None:
        class Random(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return linear(images + 0.1 * torch.randn_like(images))

        with pytest.raises(NotApplicable, match="draws randomness"):
            perturb(configure(ATTACKS, f"{spec}:keep=first"), Random().eval(), *gray_images, 0.05)
        assert len(perturb(configure(ATTACKS, spec), Random().eval(), *gray_images, 0.05)) == len(
            gray_images[0]
        )

    def test_a_gradient_averaged_over_draws(
        self,
        spec: str,
        linear: nn.Module,
        gray_images: tuple[Tensor, Tensor],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(linear, "eot", 2, raising=False)
        with pytest.raises(NotApplicable, match="draws randomness"):
            perturb(configure(ATTACKS, f"{spec}:keep=first"), linear, *gray_images, 0.05)

    def test_a_targeted_attack(self, spec: str) -> None:
        with pytest.raises(RequestError, match="keep=first: only for an untargeted attack"):
            configure(ATTACKS, f"{spec}:targeted=true:keep=first")

    def test_another_value(self, spec: str) -> None:
        with pytest.raises(RequestError, match="keep=best"):
            configure(ATTACKS, f"{spec}:keep=best")

    def test_stored_sets_stay_valid(self, spec: str) -> None:
        plain, first = configure(ATTACKS, spec), configure(ATTACKS, f"{spec}:keep=first")
        assert "keep" not in plain.identity["parameters"]
        assert first.identity["parameters"] == {**plain.identity["parameters"], "keep": "first"}
        for attack in (plain, first):
            assert configure(ATTACKS, attack.resolved).identity == attack.identity
