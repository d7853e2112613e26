"""Expectation over transformation: mean gradients over `model.eot` calls, one graph at a time."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.plugins.configured import configure
from bench.registry import ATTACKS

GRADIENT = [
    "fgsm",
    "bim:steps=3",
    "mifgsm:steps=3",
    "pgd:steps=3",
    "pgd:norm=l2:steps=3",
    "pgd:norm=l1:steps=3",
    "deepfool:steps=3",
    "deepfool:norm=linf:steps=3",
    "ddn:steps=4",
    "fmn:steps=4",
    "fmn:norm=linf:steps=4",
    "fmn:norm=l1:steps=4",
    "cw:steps=9:binary_search_steps=2:initial_const=9:stepsize=0.05",
    "apgd:steps=3",
    "apgd:norm=l2:steps=3",
    "apgd:loss=targeted:steps=3",
    "fab:steps=3",
    "fab:norm=l2:steps=3",
    "fab:norm=l1:steps=3",
    "pgd:steps=3:keep=worst",
    "pgd:steps=3:targeted=true:target=each",
]
FIRST = ["bim:steps=3:keep=first", "mifgsm:steps=3:keep=first", "pgd:norm=l2:steps=3:keep=first"]


class Watched(nn.Module):
    """Model that counts differentiated calls, and those with an earlier graph still alive."""

    def __init__(self, model: nn.Module, eot: int, noise: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.eot = eot
        self.noise = noise
        self.calls = self.alive = 0
        self.last: weakref.ref[Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad:
            self.calls += 1
            self.alive += self.last is not None and self.last() is not None
        hidden = images * (1 + self.noise * torch.randn_like(images))
        if images.requires_grad:
            self.last = weakref.ref(hidden)
        return self.model(hidden)


@pytest.mark.parametrize("spec", GRADIENT)
def test_each_gradient_takes_so_many_calls(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor], spec: str
) -> None:
    images, labels = gray_images
    calls = []
    results = []
    for eot in (1, 3):
        model = Watched(linear, eot).eval()
        torch.manual_seed(0)
        results.append(configure(ATTACKS, spec).plugin.perturb(model, images, labels, 0.05))
        calls.append(model.calls)
        assert model.alive == 0
    assert calls[1] == 3 * calls[0] > 0
    # The mean of equal gradients is the gradient.
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=2e-4)


@pytest.mark.parametrize("spec", GRADIENT)
def test_a_random_model_is_attacked(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor], spec: str
) -> None:
    torch.manual_seed(0)
    model = Watched(linear, 2, noise=0.1).eval()
    adversarial = configure(ATTACKS, spec).plugin.perturb(model, *gray_images, 0.2)
    assert bool(torch.isfinite(adversarial).all())
    assert float(cross_entropy(linear(adversarial), gray_images[1])) > float(
        cross_entropy(linear(gray_images[0]), gray_images[1])
    )


def test_the_gradient_is_the_mean_over_the_draws(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor]
) -> None:
    images, labels = gray_images
    model = Watched(linear, 5, noise=2.0).eval()
    torch.manual_seed(7)
    ours = configure(ATTACKS, "fgsm").plugin.perturb(model, images, labels, 0.05)
    torch.manual_seed(7)
    gradients = []
    for _ in range(5):
        inputs = images.clone().requires_grad_(True)
        gradients.append(
            torch.autograd.grad(cross_entropy(model(inputs), labels, reduction="sum"), inputs)[0]
        )
    mean = torch.stack(gradients).mean(dim=0)
    torch.testing.assert_close(ours, (images + 0.05 * mean.sign()).clamp(0, 1), rtol=0, atol=1e-6)
    assert not torch.equal(mean.sign(), gradients[0].sign())


def test_a_step_in_l2_follows_the_mean(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor]
) -> None:
    images, labels = gray_images
    model = Watched(linear, 4, noise=2.0).eval()
    attack = configure(ATTACKS, "pgd:norm=l2:steps=1:rel_stepsize=1:random_start=false").plugin
    torch.manual_seed(3)
    ours = attack.perturb(model, images, labels, 0.1)
    torch.manual_seed(3)
    inputs = images.clone().requires_grad_(True)
    for _ in range(4):
        cross_entropy(model(inputs), labels, reduction="sum").backward()
    assert inputs.grad is not None
    step = 0.1 * inputs.grad / inputs.grad.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    torch.testing.assert_close(ours, (images + step).clamp(0, 1), rtol=0, atol=1e-5)


class Broken(nn.Module):
    """A classifier whose gradient is NaN at every pixel of the first image."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        assert bool(torch.isfinite(images).all())
        zero = (0 * images).flatten(1).sum(dim=1)
        spoilt = torch.cat([zero[:1].sqrt(), zero[1:]])
        return self.model(images) + spoilt[:, None]


@pytest.mark.parametrize("spec", [*GRADIENT, *FIRST])
def test_a_gradient_of_nan_spoils_no_image(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor], spec: str
) -> None:
    images, labels = gray_images
    adversarial = configure(ATTACKS, spec).plugin.perturb(
        Broken(linear).eval(), images, labels, 0.05
    )
    assert bool(torch.isfinite(adversarial).all())
    assert bool((adversarial[1:] != images[1:]).flatten(1).any(dim=1).all())


def test_pgd_leaves_an_image_without_a_gradient_at_its_random_start(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor]
) -> None:
    images, labels = gray_images
    starts = []
    # In L-infinity sign(nan) is 0, so the case arises in L2.
    for spec in ("pgd:norm=l2:steps=3", "pgd:norm=l2:steps=3:keep=first"):
        torch.manual_seed(0)
        adversarial = configure(ATTACKS, spec).plugin.perturb(
            Broken(linear).eval(), images, labels, 0.05
        )
        starts.append(adversarial[0])
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], images[0])
