"""Gaussian noise: its moments for gray pixels, and for clamped black and white ones."""

from __future__ import annotations

import math

import pytest
import torch

from bench.contracts import DataInfo
from defenses.gaussian_noise import GaussianNoise

INFO = DataInfo((1, 100, 100), 10)


def test_gray_gets_noise_of_that_deviation() -> None:
    torch.manual_seed(0)
    output = GaussianNoise(std=0.1).build(INFO)(torch.full((10, 1, 100, 100), 0.5))
    assert float(output.mean()) == pytest.approx(0.5, abs=2e-3)
    assert float(output.std()) == pytest.approx(0.1, abs=2e-3)


@pytest.mark.parametrize("colour", [0.0, 1.0])
def test_black_and_white_are_clamped(colour: float) -> None:
    """The mean of max(0, N(0, std^2)) is std / sqrt(2 pi)."""
    torch.manual_seed(0)
    output = GaussianNoise(std=0.2).build(INFO)(torch.full((10, 1, 100, 100), colour))
    assert float(output.min()) >= 0
    assert float(output.max()) <= 1
    assert float((output - colour).abs().mean()) == pytest.approx(
        0.2 / math.sqrt(2 * math.pi), abs=2e-3
    )


def test_each_call_draws_afresh() -> None:
    module = GaussianNoise().build(INFO).eval()
    images = torch.full((1, 1, 100, 100), 0.5)
    assert GaussianNoise.stochastic
    assert not torch.equal(module(images), module(images))
