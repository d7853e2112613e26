"""Rotations and translations, compared with a grid of plain affine warps."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.crafting import perturb


def warped(images: Tensor, degrees: float, right: float, down: float) -> Tensor:
    angle, size = math.radians(degrees), images.shape[-1]
    theta = torch.tensor(
        [
            [math.cos(angle), -math.sin(angle), 2 * right / size],
            [math.sin(angle), math.cos(angle), 2 * down / size],
        ]
    )
    grid = affine_grid(theta.expand(len(images), 2, 3), list(images.shape), align_corners=True)
    return grid_sample(images, grid, align_corners=True)


def test_an_image_is_warped_within_the_budget_until_it_misleads(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]
) -> None:
    images, labels = (part[:30] for part in digits)
    eps = 0.5
    ours = perturb(
        configure(ATTACKS, "spatial:rotations=3:translations=3"), trained_cnn, images, labels, eps
    )
    expected = images.clone()
    misled = torch.zeros(len(images), dtype=torch.bool)
    for turn, right, down in product((-15, 0, 15), (-1.5, 0, 1.5), (-1.5, 0, 1.5)):
        candidates = warped(images, turn, right, down)
        first = (trained_cnn(candidates).argmax(1) != labels) & ~misled
        expected[first] = candidates[first]
        misled |= first
    assert 0 < int(misled.sum()) < len(images)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)


def test_the_budget_is_described_in_degrees_and_pixels() -> None:
    plugin = configure(ATTACKS, "spatial:max_rotation=20").plugin
    assert plugin.ball() is None
    assert plugin.describe(0.5) == pytest.approx(
        {"max_rotation_degrees": 10, "max_translation_pixels": 1.5, "queries": 125}
    )
