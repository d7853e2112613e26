"""Means over a model's draws, gradients that are scaled, and the worst iterate."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks._losses import AWAY
from attacks._queries import Worst, draws, mean_logits, measure, scaled, unit


class Cycling(nn.Module):
    """A model whose calls go through a list of weights."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.weights = weights
        self.eot = len(weights)
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        weight = self.weights[self.calls % len(self.weights)]
        self.calls += 1
        gap = weight * (images.flatten(1).mean(dim=1) - 0.5)
        return torch.stack([-gap, gap], dim=1)


@settings(deadline=None)
@given(exponent=st.integers(-37, 37), seed=st.integers(0, 99))
def test_a_gradient_of_any_size_has_the_same_direction(exponent: int, seed: int) -> None:
    torch.manual_seed(seed)
    gradient = torch.randn(3, 2, 4, 4)
    small = gradient * 10.0**exponent
    torch.testing.assert_close(unit(small), unit(gradient), rtol=0, atol=1e-5)
    torch.testing.assert_close(unit(small).flatten(1).norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("size", [1e-3, 1.0, 700.0])
def test_scaling_changes_no_digit(size: float) -> None:
    gradient = size * torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    ratio = scaled(gradient) / gradient
    power = ratio.flatten(1)[:, :1].view(-1, 1, 1, 1)
    assert torch.equal(scaled(gradient), gradient * power)
    assert torch.equal(torch.frexp(power).mantissa, torch.full_like(power, 0.5))
    assert torch.equal(unit(torch.zeros(2, 1, 3, 3)), torch.zeros(2, 1, 3, 3))


def test_values_are_means_over_the_draws() -> None:
    images = torch.full((2, 1, 2, 2), 0.75)
    labels = torch.tensor([1, 1])
    found = measure(Cycling(1.0, 3.0, -8.0), images, labels, AWAY, 3)
    each = [measure(Cycling(weight), images, labels, AWAY, 1) for weight in (1.0, 3.0, -8.0)]
    for name in ("gradient", "loss", "reached"):
        mean = torch.stack([getattr(once, name) for once in each]).mean(dim=0)
        torch.testing.assert_close(getattr(found, name), mean)
    assert found.reached.tolist() == pytest.approx([1 / 3, 1 / 3])

    model = Cycling(1.0, 3.0, -8.0)
    assert draws(model) == 3
    torch.testing.assert_close(mean_logits(model, images), Cycling(-4 / 3)(images))
    assert model.calls == 3


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.floats(-5, 5, width=32)), min_size=1)
)
def test_the_worst_is_wrong_most_often_and_then_has_the_highest_loss(
    offers: list[tuple[float, float]],
) -> None:
    worst = Worst(torch.zeros(1, 1, 1, 1))
    for number, (reached, loss) in enumerate(offers):
        image = torch.full((1, 1, 1, 1), float(number))
        worst.offer(image, torch.tensor([loss]), torch.tensor([reached]))
    latest = max(range(len(offers)), key=lambda number: (offers[number], number))
    assert int(worst.images) == latest
    assert len(worst.standing()) == (max(offers)[0] < 1)


def test_a_loss_of_nan_is_never_the_worst() -> None:
    class Spoilt(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            logits = torch.stack([images.mean((1, 2, 3)), -images.mean((1, 2, 3))], dim=1)
            return logits + torch.tensor([[float("nan")], [0.0]])

    images = torch.rand(2, 1, 3, 3)
    found = measure(Spoilt(), images, torch.tensor([0, 0]), AWAY, 1)
    assert found.loss[0] == -torch.inf
    assert torch.isfinite(found.loss[1])
    assert bool(torch.isfinite(found.gradient).all())


def test_a_model_without_gradient_has_a_gradient_of_zero() -> None:
    images = torch.rand(2, 1, 3, 3)
    bias = torch.zeros(2, 2, requires_grad=True)
    for model in (lambda x: x.detach().mean((2, 3)).repeat(1, 2), lambda _: bias * 1.0):
        found = measure(model, images, torch.tensor([0, 1]), AWAY, 2)
        assert torch.equal(found.gradient, torch.zeros_like(images))
    assert bias.grad is None
