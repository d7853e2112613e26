"""Bit-depth reduction: the levels, the rounding of halves, the gradient that is not there."""

from __future__ import annotations

import pytest
import torch

from bench.contracts import DataInfo
from defenses.bitdepth import BitDepth

INFO = DataInfo((1, 1, 7), 10)


@pytest.mark.parametrize(
    ("bits", "steps"),
    [(1, [0, 0, 0, 0, 1, 1, 1]), (2, [0, 1, 1, 2, 2, 2, 3]), (3, [0, 1, 3, 4, 4, 5, 7])],
)
def test_pixels_go_to_the_nearest_level_and_halves_to_the_even_one(
    bits: int, steps: list[int]
) -> None:
    images = torch.tensor([0, 0.2, 0.4, 0.5, 0.55, 0.7, 1]).view(1, 1, 1, 7)
    levels = torch.tensor(steps) / (2**bits - 1)
    torch.testing.assert_close(BitDepth(bits=bits).build(INFO)(images).flatten(), levels)


def test_eight_bits_keep_an_8_bit_image() -> None:
    images = (torch.arange(256) / 255).view(1, 1, 16, 16)
    torch.testing.assert_close(BitDepth(bits=8).build(INFO)(images), images)


def test_the_gradient_is_exactly_zero() -> None:
    """A straight-through gradient would hide from the verdict that there is none."""
    images = torch.rand(2, 1, 4, 4).requires_grad_(True)
    BitDepth(bits=4).build(INFO)(images).sum().backward()
    assert images.grad is not None
    assert not images.grad.any()


@pytest.mark.parametrize("bits", [0, 9])
def test_more_bits_than_an_image_has_are_refused(bits: int) -> None:
    from bench.errors import RequestError
    from bench.plugins.configured import configure
    from bench.registry import DEFENSES

    with pytest.raises(RequestError, match=f"parameter bits={bits}: "):
        configure(DEFENSES, f"bitdepth:bits={bits}")
