"""Defense-GAN's projection against a plain loop written from the paper and the official code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import DataInfo
from bench.stages.seeding import seeded
from defenses._folded_generator import FoldedGenerator
from defenses._wgan import Generator, gradient_penalty
from defenses.defensegan import DefenseGAN

INFO = DataInfo((1, 28, 28), 10)
CPU = torch.device("cpu")


def projected(generator: nn.Module, images: Tensor, settings: DefenseGAN) -> Tensor:
    """One restart and one image at a time, SGD with momentum from torch.optim."""
    starts = settings.start_std * torch.randn(len(images) * settings.restarts, settings.latent)
    results = []
    for i, image in enumerate(images):
        best, best_error = image, float("inf")
        for r in range(settings.restarts):
            z = starts[i * settings.restarts + r].clone()[None]
            if settings.sphere:
                z = z / z.norm() * settings.latent**0.5
            z.requires_grad_(True)
            optimizer = torch.optim.SGD([z], lr=settings.rate, momentum=settings.momentum)
            for _ in range(settings.steps):
                optimizer.zero_grad()
                ((generator(z) - image) ** 2).mean().backward()
                optimizer.step()
                if settings.sphere:
                    with torch.no_grad():
                        z.mul_(settings.latent**0.5 / z.norm())
            with torch.no_grad():
                candidate = generator(z)[0]
            error = float(((candidate - image) ** 2).mean())
            if error < best_error:
                best, best_error = candidate, error
        results.append(best)
    return torch.stack(results)


@pytest.mark.parametrize("sphere", [False, True])
def test_all_restarts_in_one_tensor_is_the_plain_loop(sphere: bool) -> None:
    settings = DefenseGAN(
        latent=8, width=4, restarts=3, steps=6, rate=2.0, start_std=1.0, sphere=sphere
    )
    torch.manual_seed(0)
    module = settings.build(INFO).eval().requires_grad_(False)
    images = torch.rand(4, 1, 28, 28)
    with seeded(CPU, "z"), torch.no_grad():
        fast = module(images)
    with seeded(CPU, "z"):
        plain = projected(module.get_submodule("generator"), images, settings)
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)


def test_a_projection_reaches_an_image_of_the_generator() -> None:
    settings = DefenseGAN(latent=4, width=8, restarts=4, steps=150, rate=20.0, start_std=1.0)
    torch.manual_seed(0)
    module = settings.build(INFO).eval().requires_grad_(False)
    generator = module.get_submodule("generator")
    with torch.no_grad():
        for weight in generator.parameters():
            weight.mul_(2)  # Images of the untrained generator hardly differ.
    target = generator(torch.randn(3, 4))
    reached = module(target)
    before = ((generator(torch.randn(3, 4)) - target) ** 2).mean()
    assert float(((reached - target) ** 2).mean()) < 0.05 * float(before)


def test_the_generator_is_the_published_one() -> None:
    """Sizes of the official code: Linear 128 to 4096, 5x5 to 128, 64 and 1 channels."""
    generator = Generator((1, 28, 28), 128, 64, batch_norm=False)
    shapes = {
        name: tuple(weight.shape)
        for name, weight in generator.named_parameters()
        if name.endswith("weight")
    }
    assert shapes == {
        "linear.weight": (4096, 128),
        "up1.weight": (256, 128, 5, 5),
        "up2.weight": (128, 64, 5, 5),
        "up3.weight": (64, 1, 5, 5),
    }
    images = generator(torch.randn(2, 128))
    assert images.shape == (2, 1, 28, 28)
    assert 0 <= float(images.min().detach()) <= float(images.max().detach()) <= 1


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 20, 24)])
def test_the_folded_generator_is_the_generator(
    shape: tuple[int, int, int], batch_norm: bool
) -> None:
    torch.manual_seed(0)
    generator = Generator(shape, 8, 6, batch_norm).double()
    # The normalization layers collect statistics.
    for _ in range(3):
        generator(torch.randn(16, 8, dtype=torch.float64))
    for weight in generator.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    generator.eval().requires_grad_(False)
    z = torch.randn(4, 8, dtype=torch.float64)
    torch.testing.assert_close(FoldedGenerator(generator)(z), generator(z), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 20, 24)])
def test_images_of_other_sizes_fit(shape: tuple[int, int, int]) -> None:
    module = DefenseGAN(latent=4, width=2, restarts=2, steps=2).build(DataInfo(shape, 10)).eval()
    assert module(torch.rand(2, *shape)).shape == (2, *shape)


def test_the_penalty_of_a_linear_critic_is_known() -> None:
    """The gradient of a linear critic is its weight everywhere, so the penalty is (|w| - 1)^2."""
    critic = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        critic[1].weight.copy_(torch.tensor([[3.0, 0.0, 4.0, 0.0]]))  # type: ignore[union-attr, operator]
    value = gradient_penalty(critic, torch.rand(5, 1, 2, 2), torch.rand(5, 1, 2, 2))
    assert value.item() == pytest.approx(16.0, rel=1e-5)
