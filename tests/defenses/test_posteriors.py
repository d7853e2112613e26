"""Distributions over weights against closed forms, on linear networks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from defenses._dropout_posterior import DropoutPosterior
from defenses._ensemble_posterior import EnsemblePosterior
from defenses._posterior import Point
from defenses._swag_posterior import SwagPosterior
from defenses._variational_posterior import VariationalPosterior

DRAWS = 20_000
INPUTS = torch.tensor([[0.5, -1.0, 2.0]])


class Linear(nn.Module):
    """A linear network in one named layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.layer(inputs)
        return output


@pytest.fixture
def network() -> Linear:
    torch.manual_seed(0)
    return Linear().requires_grad_(False)


def check_moments(drawn: Tensor, mean: Tensor, variance: Tensor) -> None:
    """Check the mean and the variance of draws (draws, outputs), to five standard errors."""
    error = 5 * (variance / len(drawn)).sqrt()
    assert ((drawn.mean(dim=0) - mean).abs() < error + 1e-6).all()
    # The standard error of a variance, for a kurtosis of up to 4.
    torch.testing.assert_close(
        drawn.var(dim=0), variance, rtol=5 * math.sqrt(3 / len(drawn)), atol=0
    )


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_has_the_mean_and_the_variance_of_bernoulli_inputs(
    network: Linear, rate: float
) -> None:
    weight, mean = network.layer.weight.clone(), network(INPUTS)[0]
    posterior = DropoutPosterior(network, ["layer"], rate).eval()

    variance = rate / (1 - rate) * (weight**2 @ INPUTS[0] ** 2)
    check_moments(posterior(INPUTS.repeat(DRAWS, 1)), mean, variance)
    torch.testing.assert_close(posterior.mean(INPUTS)[0], mean)


def test_dropout_of_a_nested_layer_and_of_no_input_changes_nothing(network: Linear) -> None:
    expected = network(INPUTS)
    posterior = DropoutPosterior(nn.Sequential(network), ["0.layer"], 0.0)
    assert torch.equal(posterior(INPUTS), expected)
    assert list(posterior.state_dict()) == [
        f"network.0.layer.1.{name}" for name in ("weight", "bias")
    ]


def test_dropout_is_drawn_in_training_and_at_inference_for_each_image(network: Linear) -> None:
    posterior = DropoutPosterior(network, ["layer"], 0.5)
    for module in (posterior.train(), posterior.eval()):
        assert len(module(INPUTS.repeat(50, 1)).unique(dim=0)) > 2


def plain_swag(snapshots: list[np.ndarray], rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of algorithm 1 of arXiv:1902.02476, written as plain loops."""
    mean, squares, columns = np.zeros(len(snapshots[0])), np.zeros(len(snapshots[0])), []
    for n, weights in enumerate(snapshots):
        mean = (n * mean + weights) / (n + 1)
        squares = (n * squares + weights**2) / (n + 1)
        columns = [*columns, weights - mean][-rank:]

    diagonal = np.diag(squares - mean**2)
    low_rank = np.stack(columns, axis=1)
    return mean, diagonal / 2 + low_rank @ low_rank.T / (2 * (rank - 1))


@pytest.mark.parametrize("count", [2, 5, 12])
def test_swag_has_the_mean_and_the_covariance_of_the_paper(network: Linear, count: int) -> None:
    rank = 5
    posterior = SwagPosterior(network, rank)
    generator = torch.Generator().manual_seed(1)
    snapshots = list(torch.randn(count, 8, generator=generator))
    for weights in snapshots:
        posterior.collect(weights)
    posterior.finish()
    mean, covariance = plain_swag([weights.double().numpy() for weights in snapshots], rank)

    found = torch.cat([network.layer.weight.flatten(), network.layer.bias])
    np.testing.assert_allclose(found.numpy(), mean, atol=1e-5)
    ours = torch.diag(posterior.variance) / 2
    ours += posterior.deviations.T @ posterior.deviations / (2 * (rank - 1))
    np.testing.assert_allclose(ours.numpy(), covariance, atol=1e-5)

    # An output is a linear function of the weights: row @ weights.
    rows = torch.zeros(2, 8)
    rows[0, :3] = rows[1, 3:6] = INPUTS[0]
    rows[0, 6] = rows[1, 7] = 1
    expected = rows.double() @ torch.tensor(covariance) @ rows.double().T
    posterior.eval()
    torch.manual_seed(2)
    drawn = torch.cat([posterior(INPUTS) for _ in range(4_000)])
    check_moments(drawn, posterior.mean(INPUTS)[0], expected.diagonal().float())


def test_swag_takes_its_snapshots_at_the_end_at_a_constant_rate(network: Linear) -> None:
    posterior, steps = SwagPosterior(network, 3), 300
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = posterior.schedule(optimizer, steps)
    taken: list[int] = []
    rates: list[float] = []

    for step in range(1, steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        before = posterior._snapshots
        posterior.follow(step, steps)
        taken += [step] if posterior._snapshots > before else []
        optimizer.step()
        schedule.step()

    # The schedule of the official code, at its own 300 epochs of which the first 161 warm up.
    def official(epoch: int) -> float:
        t = epoch / 161
        return 1.0 if t <= 0.5 else (1.0 - 0.8 * (t - 0.5) / 0.4 if t <= 0.9 else 0.2)

    assert rates == pytest.approx([official(epoch) for epoch in range(steps)])
    assert taken == list(range(164, 301, 3))


def test_swag_of_a_training_that_was_cut_is_the_network_itself(network: Linear) -> None:
    expected = network(INPUTS)
    posterior = SwagPosterior(network, 3)
    posterior.finish()
    torch.testing.assert_close(posterior.eval()(INPUTS), expected)


def test_a_variational_gaussian_has_the_mean_and_the_variance_of_its_weights(
    network: Linear,
) -> None:
    posterior = VariationalPosterior(network)
    log_std = torch.linspace(-3, 0, 8)
    posterior.log_std.data.copy_(log_std)
    std = log_std.exp()
    variance = (std[:6].view(2, 3) ** 2) @ INPUTS[0] ** 2 + std[6:] ** 2

    torch.manual_seed(3)
    with torch.no_grad():
        drawn = torch.cat([posterior(INPUTS) for _ in range(4_000)])
    check_moments(drawn, posterior.mean(INPUTS)[0], variance)


def test_the_divergence_is_the_closed_form_on_the_scale_of_the_mean_squared_error(
    network: Linear,
) -> None:
    posterior = VariationalPosterior(network)
    posterior.log_std.data.copy_(torch.linspace(-3, 0, 8))
    weights = torch.cat([network.layer.weight.flatten(), network.layer.bias]).tolist()

    divergence = 0.0
    for mean, log_std in zip(weights, posterior.log_std.tolist(), strict=True):
        variance = math.exp(2 * log_std)
        divergence += math.log(0.1) - log_std + (variance + mean**2) / (2 * 0.1**2) - 0.5

    (found,) = posterior.penalties(1_000).values()
    assert float(found.detach()) == pytest.approx(2 * 0.1**2 * divergence / 1_000, rel=1e-5)


def test_a_variational_gaussian_learns_means_and_deviations(network: Linear) -> None:
    posterior = VariationalPosterior(network.requires_grad_(True)).train()
    (posterior(INPUTS).square().sum() + posterior.penalties(10)["divergence"]).backward()
    for parameter in posterior.parameters():
        assert parameter.grad is not None
        assert float(parameter.grad.abs().sum()) > 0


def test_an_ensemble_draws_each_member_once_at_most() -> None:
    members = [Linear().requires_grad_(False) for _ in range(4)]
    posterior = EnsemblePosterior(members)
    expected = [member(INPUTS) for member in members]

    for count in (4, 9):
        found = list(posterior.draws(INPUTS, count))
        assert all(map(torch.equal, found, expected))
        assert len(found) == 4
    three = torch.cat(list(posterior.draws(INPUTS, 3)))
    assert len(three.unique(dim=0)) == 3
    alone = torch.cat([posterior(INPUTS) for _ in range(60)])
    assert len(alone.unique(dim=0)) == 4
    assert torch.equal(posterior.mean(INPUTS), expected[0])


def test_a_point_is_its_network(network: Linear) -> None:
    posterior = Point(network)
    assert list(posterior.networks) == [posterior]
    assert not posterior.penalties(1)
    found = list(posterior.draws(INPUTS, 2))
    assert torch.equal(found[0], found[1])
    assert torch.equal(posterior.mean(INPUTS), network(INPUTS))
