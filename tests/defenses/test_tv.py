"""Total-variation minimization: the minimum by another solver, and closed forms."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn.functional import pad

from bench.contracts import DataInfo
from defenses.tv import TotalVariation

INFO = DataInfo((1, 8, 9), 10)


def module(**settings: float) -> nn.Module:
    return TotalVariation(**settings).build(INFO)  # type: ignore[arg-type]


def random_images(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, dtype=torch.float64, generator=generator)


def purified(purifier: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """The purified images, and 1 where a value was kept."""
    torch.manual_seed(5)
    kept = (torch.rand_like(images) >= purifier.dropout).double()
    torch.manual_seed(5)
    return purifier(images), kept


def objective(
    pixels: Tensor, images: Tensor, kept: Tensor, weight: float, smooth: float = 0.0
) -> Tensor:
    """Half the squared distance at kept values plus the weighted lengths of all gradients."""
    down = pad(pixels[:, :, 1:] - pixels[:, :, :-1], (0, 0, 0, 1))
    right = pad(pixels[:, :, :, 1:] - pixels[:, :, :, :-1], (0, 1))
    lengths = (down**2 + right**2 + smooth**2).sqrt()
    return 0.5 * (kept * (pixels - images) ** 2).sum() + weight * lengths.sum()


def least_objective(images: Tensor, kept: Tensor, weight: float) -> float:
    """The minimum by L-BFGS on lengths that are smooth, less and less so."""
    found = (kept * images).numpy().ravel()
    for smooth in (0.1, 1e-2, 1e-3, 1e-4, 1e-5):

        def value(pixels: object, smooth: float = smooth) -> tuple[float, object]:
            inputs = torch.as_tensor(pixels).view(images.shape).clone().requires_grad_(True)
            total = objective(inputs, images, kept, weight, smooth)
            (gradient,) = torch.autograd.grad(total, inputs)
            return float(total.detach()), gradient.numpy().ravel()

        options = {"maxiter": 3000, "maxfun": 6000, "ftol": 1e-14, "gtol": 1e-9}
        found = minimize(value, found, jac=True, method="L-BFGS-B", options=options).x
    return float(objective(torch.as_tensor(found).view(images.shape), images, kept, weight))


@pytest.mark.parametrize("weight", [0.03, 0.3])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_steps_reach_the_minimum_that_another_solver_finds(
    weight: float, dropout: float
) -> None:
    images = random_images(1, 1, 8, 9)
    for steps, excess in ((100, 0.01), (3000, 1e-4)):
        output, kept = purified(module(weight=weight, dropout=dropout, steps=steps), images)
        least = least_objective(images, kept, weight)
        assert float(objective(output, images, kept, weight)) <= least * (1 + excess)


def test_two_pixels_approach_each_other_by_the_weight() -> None:
    images = torch.tensor([0.2, 0.7], dtype=torch.float64).view(1, 1, 1, 2)
    for weight, expected in ((0.1, [0.3, 0.6]), (0.4, [0.45, 0.45])):
        output = module(weight=weight, dropout=0, steps=2000)(images)
        assert output.flatten().tolist() == pytest.approx(expected, abs=1e-4)


def test_a_dropped_value_has_no_say() -> None:
    purifier, images = module(steps=30), random_images(2, 3, 8, 9)
    output, kept = purified(purifier, images)
    others = torch.where(kept > 0, images, random_images(2, 3, 8, 9, seed=1))
    assert 0.3 < float(kept.mean()) < 0.7
    assert torch.equal(purified(purifier, others)[0], output)
    assert not torch.equal(purified(purifier, random_images(2, 3, 8, 9, seed=1))[0], output)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(1e-3, 2), st.integers(1, 20))
def test_every_image_stays_in_range_and_a_flat_one_is_left(
    gray: float, dropout: float, weight: float, steps: int
) -> None:
    noise = random_images(1, 1, 8, 9)
    output = module(dropout=dropout, weight=weight, steps=steps)(noise)
    assert 0 <= float(output.min()) <= float(output.max()) <= 1

    flat = torch.full((1, 1, 5, 6), gray, dtype=torch.float64)
    left = module(dropout=0, weight=weight, steps=steps)(flat)
    torch.testing.assert_close(left, flat, rtol=0, atol=1e-9)


def test_the_gradient_is_that_of_a_loop_that_keeps_every_step() -> None:
    purifier, images = module(steps=25), random_images(2, 1, 8, 9)
    inputs = [images.clone().requires_grad_(True) for _ in range(2)]
    torch.manual_seed(6)
    output = purifier(inputs[0])

    torch.manual_seed(6)
    kept = (torch.rand_like(images) >= purifier.dropout).double()
    state = (inputs[1] * kept, inputs[1] * kept, *torch.zeros(2, *images.shape).double())
    for _ in range(25):
        state = purifier.step(state, (inputs[1], kept))

    assert torch.equal(output, state[0])
    gradients = [
        torch.autograd.grad(total.square().sum(), at)[0]
        for total, at in zip((output, state[0]), inputs, strict=True)
    ]
    torch.testing.assert_close(*gradients)


def test_it_is_randomized_only_where_a_part_is_dropped() -> None:
    assert [TotalVariation(dropout=p).stochastic for p in (0, 0.5, 1)] == [False, True, False]
