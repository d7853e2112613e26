"""Box-constrained L-BFGS, compared with the nearest point in the box, and its line search."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks.lbfgs import LBFGS
from bench.geometry import distances


class Plane(nn.Module):
    """Two classes with the boundary `weight @ images = bias`."""

    def __init__(self, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.bias = bias

    def forward(self, images: Tensor) -> Tensor:
        gap = images.flatten(1) @ self.weight - self.bias
        return torch.stack([gap, -gap], dim=1)


def nearest_in_box(image: Tensor, weight: Tensor, bias: float) -> Tensor:
    """The nearest point of the plane in [0, 1]: `clip(x - t w)` for the right t."""
    side = float(image @ weight) > bias
    low, high = 0.0, 1e3
    for _ in range(100):
        middle = (low + high) / 2
        point = (image - (1 if side else -1) * middle * weight).clamp(0, 1)
        crossed = (float(point @ weight) > bias) != side
        low, high = (low, middle) if crossed else (middle, high)

    return (image - (1 if side else -1) * high * weight).clamp(0, 1)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.floats(0.05, 0.5), scale=st.floats(0.5, 20))
def test_the_nearest_point_of_the_box_is_found(seed: int, spread: float, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = scale * torch.randn(36, generator=generator)
    images = (0.5 + spread * torch.randn(4, 36, generator=generator)).clamp(0, 1)
    bias = float(0.5 * weight.sum())
    model = Plane(weight, bias).eval()
    labels = model(images).argmax(1)
    adversarial = LBFGS(binary_search_steps=18).minimise(model, images.view(4, 1, 6, 6), labels)

    assert bool((model(adversarial).argmax(1) != labels).all())
    for image, found in zip(images, adversarial.flatten(1), strict=True):
        expected = (nearest_in_box(image, weight, bias) - image).norm()
        assert float((found - image).norm()) == pytest.approx(float(expected), rel=0.02, abs=2e-3)


@pytest.mark.parametrize("first", [1e-6, 0.1, 1e4])
def test_the_line_search_forgets_where_it_started(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor], first: float
) -> None:
    images, labels = (part[:4] for part in gray_images)
    plugin = LBFGS(binary_search_steps=30, initial_const=first)
    found = distances(images, plugin.minimise(linear, images, labels), "l2")
    usual = distances(images, LBFGS(binary_search_steps=15).minimise(linear, images, labels), "l2")
    torch.testing.assert_close(found, usual, rtol=0.03, atol=1e-3)


def test_an_image_does_not_depend_on_its_batch_beyond_the_stopping_rule(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]
) -> None:
    images, labels = (part[:4] for part in digits)
    plugin = LBFGS(steps=30, binary_search_steps=8)
    together = distances(images, plugin.minimise(trained_cnn, images, labels), "l2")
    alone = [
        distances(image[None], plugin.minimise(trained_cnn, image[None], label[None]), "l2")
        for image, label in zip(images, labels, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0.05, atol=0)


@pytest.mark.parametrize(("targeted", "longest"), [(False, 2.5), (True, 4.0)])
def test_each_image_of_a_trained_network_is_broken_nearby(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], targeted: bool, longest: float
) -> None:
    images, labels = (part[:10] for part in digits)
    plugin = LBFGS(steps=20, binary_search_steps=8, targeted=targeted)
    adversarial = plugin.minimise(trained_cnn, images, labels)
    predicted = trained_cnn(adversarial).argmax(1)
    assert bool((predicted == (labels + 1) % 10 if targeted else predicted != labels).all())
    assert float(distances(images, adversarial, "l2").median()) < longest


def test_a_misclassified_image_and_one_without_a_gradient_come_back_unchanged(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor]
) -> None:
    images, labels = gray_images
    assert torch.equal(LBFGS().minimise(linear, images, (labels + 1) % 3), images)

    class Flat(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([[1.0, 0.0]]) + 0 * images.flatten(1)[:, :2]

    zeros = torch.zeros_like(labels)
    assert torch.equal(LBFGS().minimise(Flat().eval(), images, zeros), images)


def test_an_image_that_only_some_draws_misclassify_is_not_kept(
    gray_images: tuple[Tensor, Tensor],
) -> None:
    class Moody(nn.Module):
        """A plane that lies elsewhere in every other call."""

        eot = 2
        calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            gap = images.flatten(1).mean(dim=1) - (0.2 if self.calls % 2 else 0.3)
            return 50 * torch.stack([gap, -gap], dim=1)

    images, _ = gray_images
    adversarial = LBFGS().minimise(Moody().eval(), images, torch.zeros(12, dtype=torch.int64))
    assert bool((adversarial.flatten(1).mean(dim=1) < 0.2).all())
