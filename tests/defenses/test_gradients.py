"""The white-box gradient of the purifiers against finite differences in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import DataInfo
from defenses.convae import ConvAE
from defenses.defensegan import DefenseGAN
from defenses.puvae import PuVAE

INFO = DataInfo((1, 12, 12), 10)
SHORT = DefenseGAN(latent=6, width=2, restarts=3, steps=5, rate=3.0, start_std=1.0)
PURIFIERS = {
    "convae": ConvAE(width=2),
    "convae without skips": ConvAE(width=2, skips=False),
    "convae of the author": ConvAE(arch="author"),
    "puvae": PuVAE(channels=6, kernel=3, dilation=1, hidden=64, latent=8, noise=0.1),
    "defensegan": SHORT,
    "defensegan on the sphere": replace(SHORT, sphere=True),
    "defensegan, one start": replace(SHORT, restarts=1, steps=12, rate=5.0),
}


def built(name: str) -> nn.Module:
    """The module in float64, with weights so large that the output depends on the input."""
    torch.manual_seed(0)
    module = PURIFIERS[name].build(INFO).eval().double().requires_grad_(False)
    for weight in module.parameters():
        weight.mul_(3 if "gan" in name else 1.5)
    return module


def loss(module: nn.Module, images: Tensor, weights: Tensor) -> Tensor:
    torch.manual_seed(1)  # The draw is the same at every call.
    total: Tensor = (module(images) * weights).sum()
    return total


@pytest.mark.parametrize("name", PURIFIERS)
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    module = built(name)
    generator = torch.Generator().manual_seed(2)
    images = 0.1 + 0.8 * torch.rand(2, 1, 12, 12, dtype=torch.float64, generator=generator)
    weights, direction = torch.randn(2, 2, 1, 12, 12, dtype=torch.float64, generator=generator)
    inputs = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(module, inputs, weights), inputs)
    h = 1e-6
    with torch.no_grad():
        up, down = (loss(module, images + sign * h * direction, weights) for sign in (1, -1))
    assert float(gradient.norm()) > 1e-3
    assert float((gradient * direction).sum()) == pytest.approx(
        float(up - down) / (2 * h), rel=1e-4
    )


def test_the_differentiable_projection_is_the_plain_one() -> None:
    module = built("defensegan")
    images = torch.rand(3, 1, 12, 12, dtype=torch.float64)
    torch.manual_seed(3)
    plain = module(images)
    torch.manual_seed(3)
    differentiable = module(images.requires_grad_(True))
    assert torch.equal(plain, differentiable)
    assert differentiable.requires_grad
    assert not plain.requires_grad


def test_the_gradient_is_that_of_a_plain_unrolled_loop() -> None:
    """The plain loop unrolls all starts in one graph and picks the best, without the shortcut."""
    settings = SHORT
    module = built("defensegan")
    generator = module.get_submodule("generator")
    images = torch.rand(2, 1, 12, 12, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(4)
    (ours,) = torch.autograd.grad(module(images).square().sum(), images)
    torch.manual_seed(4)
    z = torch.randn(2 * settings.restarts, settings.latent, dtype=torch.float64, requires_grad=True)
    target, velocity = images.repeat_interleave(settings.restarts, dim=0), torch.zeros_like(z)
    for _ in range(settings.steps):
        error = ((generator(z) - target) ** 2).flatten(1).mean(dim=1).sum()
        (step,) = torch.autograd.grad(error, z, create_graph=True)
        velocity = settings.momentum * velocity + step
        z = z - settings.rate * velocity
    candidates = generator(z)
    error = ((candidates - target) ** 2).flatten(1).mean(dim=1).view(2, settings.restarts)
    best = candidates.view(2, settings.restarts, 1, 12, 12)[torch.arange(2), error.argmin(dim=1)]
    (plain,) = torch.autograd.grad(best.square().sum(), images)
    torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-12)
