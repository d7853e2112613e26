"""SOAP: the descent against a plain loop and a closed form, its gradients, and the training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import DataInfo
from bench.progress import Silent
from bench.stages.pixels import Split
from bench.stages.training import TrainingContext
from defenses._denoising_autoencoder import DenoisingAutoencoder, denoising_loss
from defenses.soap import SOAP, ErrorDescent

INFO = DataInfo((1, 9, 7), 10)
SMALL = SOAP(width=3, hidden=8)


def scrambled(settings: SOAP, dtype: torch.dtype = torch.float64) -> Any:
    """The purifier with weights so large that the reconstruction depends on the image."""
    torch.manual_seed(0)
    module = settings.build(INFO).to(dtype).eval().requires_grad_(False)
    for weight in module.parameters():
        weight.add_(0.1 * torch.randn_like(weight)).mul_(1.5)
    return module


def plain(network: nn.Module, settings: SOAP, images: Tensor) -> Tensor:
    """Image by image and radius by radius, PGD that lowers the error (arXiv:2101.09387).

    Args:
        network: auto-encoder.
        settings: of the descent.
        images: (n, c, h, w) in [0, 1].
    """
    purified = []
    for image in images:
        best, least = image, torch.inf
        for e in range(settings.radii + 1):
            delta = torch.zeros_like(image)
            for _ in range(settings.steps):
                delta.requires_grad_()
                error = ((network((image + delta)[None])[0] - image - delta) ** 2).mean()
                (gradient,) = torch.autograd.grad(error, delta)
                delta = (delta - settings.step_size * gradient.sign()).detach()
                delta = delta.clamp(-e * settings.radius, e * settings.radius)
                delta = (image + delta).clamp(0, 1) - image
            result = (image + delta).clamp(0, 1)
            error = ((network(result[None])[0] - result) ** 2).mean()
            if error < least - 1e-12:
                best, least = result, error
        purified.append(best)
    return torch.stack(purified)


SETTINGS = {
    "published": SMALL,
    "one step": replace(SMALL, steps=1),
    "small balls": replace(SMALL, radius=0.02, radii=4, step_size=0.015),
    "one ball": replace(SMALL, radii=1),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_descent_is_the_plain_loop(name: str) -> None:
    module = scrambled(SETTINGS[name])
    images = torch.rand(5, 1, 9, 7, dtype=torch.float64)
    expected = plain(module.autoencoder, SETTINGS[name], images)
    with torch.no_grad():
        torch.testing.assert_close(module(images), expected, rtol=0, atol=1e-9)
    assert not torch.equal(expected, images)


class Constant(nn.Module):
    """An auto-encoder that makes one gray of everything."""

    def __init__(self, gray: float) -> None:
        super().__init__()
        self.gray = gray

    def errors(self, images: Tensor) -> Tensor:
        return (images - self.gray).square().flatten(1).mean(dim=1)


@pytest.mark.parametrize(
    ("start", "gray", "found"),
    [
        (0.1, 0.9, 0.6),  # five steps of 0.1, the largest ball that they reach
        (0.9, 0.0, 0.4),
        (0.5, 0.5, 0.5),
        (0.05, -1.0, 0.0),  # the edge of [0, 1]
        (0.42, 0.6, 0.52),  # further steps swing to and fro, the fifth back to here
    ],
)
def test_towards_one_gray_each_pixel_goes_as_near_as_its_steps_lead(
    start: float, gray: float, found: float
) -> None:
    module = ErrorDescent(Constant(gray), SOAP())  # type: ignore[arg-type]
    images = torch.full((2, 1, 3, 3), start, dtype=torch.float64)
    torch.testing.assert_close(module(images), torch.full_like(images, found))


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_error_falls_and_pixels_stay_within_reach(name: str, dtype: torch.dtype) -> None:
    settings = SETTINGS[name]
    module = scrambled(settings, dtype)
    images = torch.rand(20, 1, 9, 7, dtype=dtype)
    purified = module(images)
    reach = min(settings.steps * settings.step_size, settings.radii * settings.radius)
    assert float((purified - images).abs().max()) <= reach + 1e-6
    assert 0 <= float(purified.min()) <= float(purified.max()) <= 1
    errors = [module.autoencoder.errors(shown) for shown in (purified, images)]
    assert bool((errors[0] <= errors[1] + 1e-6).all())
    assert bool((errors[0] < errors[1]).any())


@pytest.mark.parametrize("radii", [5, 6, 10, 10**9])
def test_balls_beyond_the_reach_of_the_steps_change_nothing(radii: int) -> None:
    images = torch.rand(4, 1, 9, 7, dtype=torch.float64)
    module, other = scrambled(replace(SMALL, radii=5)), scrambled(replace(SMALL, radii=radii))
    assert torch.equal(module(images), other(images))


def test_the_exact_gradient_is_that_of_the_image_or_where_a_pixel_was_clamped_zero() -> None:
    module = scrambled(SMALL)
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(3, 1, 9, 7, dtype=torch.float64, generator=generator)
    weights, direction = torch.randn(2, *images.shape, dtype=torch.float64, generator=generator)
    inputs = images.clone().requires_grad_(True)
    purified = module(inputs)
    (gradient,) = torch.autograd.grad((purified * weights).sum(), inputs)

    own = gradient == weights
    assert bool((own | (gradient == 0)).all())
    assert 0.5 < float(own.double().mean()) < 1
    up, down = (
        float((module(images + sign * 1e-7 * direction) * weights).sum()) for sign in (1, -1)
    )
    assert float((gradient * direction).sum()) == pytest.approx((up - down) / 2e-7, rel=1e-4)


def smooth(settings: SOAP) -> Any:
    (stand_in,) = scrambled(settings).stand_ins().values()
    assert not stand_in.backward_only
    return stand_in.function


@pytest.mark.parametrize("steps", [1, 3])
def test_the_gradient_of_smooth_signs_is_that_of_finite_differences(steps: int) -> None:
    function = smooth(replace(SMALL, steps=steps, step_size=0.02, radius=0.05, radii=2))
    generator = torch.Generator().manual_seed(2)
    images = 0.2 + 0.6 * torch.rand(2, 1, 9, 7, dtype=torch.float64, generator=generator)
    weights, direction = torch.randn(2, *images.shape, dtype=torch.float64, generator=generator)
    inputs = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad((function(inputs) * weights).sum(), inputs)
    up, down = (
        float((function(images + sign * 1e-6 * direction) * weights).sum()) for sign in (1, -1)
    )
    assert float((gradient - weights).norm()) > 1e-2  # it sees the descent
    assert float((gradient * direction).sum()) == pytest.approx((up - down) / 2e-6, rel=1e-4)


def test_smooth_signs_of_large_gradients_are_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("defenses.soap._SOFTNESS", 1e-9)
    images = torch.rand(4, 1, 9, 7, dtype=torch.float64)
    purified = smooth(SMALL)(images)
    torch.testing.assert_close(purified, scrambled(SMALL)(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("attacked", [True, False])
def test_it_descends_without_and_with_an_attacker(attacked: bool) -> None:
    module = scrambled(SMALL, torch.float32)
    images = torch.rand(3, 1, 9, 7)
    with torch.no_grad():
        expected = module(images)
    purified = module(images.clone().requires_grad_(attacked))
    assert torch.equal(purified, expected)
    assert purified.requires_grad == attacked


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 4), (1, 17, 23), (2, 1, 1)])
def test_reconstructions_have_the_shape_of_the_images(shape: tuple[int, int, int]) -> None:
    network = DenoisingAutoencoder(shape, width=3, hidden=5)
    assert network(torch.rand(2, *shape)).shape == (2, *shape)


def test_the_loss_is_that_of_restoring_the_clean_images() -> None:
    images = torch.rand(400, 1, 5, 5)
    seen = []

    def network(noisy: Tensor) -> Tensor:
        seen.append(noisy)
        return noisy

    loss = denoising_loss(network, images, std=0.5)  # type: ignore[arg-type]
    assert 0 <= float(seen[0].min()) <= float(seen[0].max()) <= 1
    assert float(loss) == pytest.approx(float((seen[0] - images).square().mean()))
    assert float(denoising_loss(network, images, std=0.0)) == 0  # type: ignore[arg-type]


def test_it_learns_the_images_and_then_lowers_the_error_of_noisy_ones() -> None:
    torch.manual_seed(0)
    images = torch.rand(4, 1, 8, 8).round().repeat(8, 1, 1, 1)
    context = TrainingContext(
        title="x",
        data=DataInfo((1, 8, 8), 2),
        split=Split.of(images, torch.arange(32) % 2),
        seed="s",
        progress=Silent(),
    )
    settings = SOAP(width=8, hidden=16, epochs=150, batch_size=32, noise=0.3, learning_rate=1e-2)
    module: Any = settings.build(context.data).train()
    settings.fit(module, context)
    losses = [value for _, value in context.history["mse"]]
    assert losses[-1] < 0.3 * losses[0]

    module.eval().requires_grad_(False)
    noisy = (images + 0.2 * torch.randn_like(images).sign()).clamp(0, 1)
    purified = module(noisy)
    errors = [float(module.autoencoder.errors(shown).mean()) for shown in (purified, noisy)]
    assert errors[0] < 0.8 * errors[1]
