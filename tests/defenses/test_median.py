"""Median smoothing against SciPy, which the authors of feature squeezing call."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import median_filter
from torch import Tensor

from bench.contracts import DataInfo
from defenses.median import Median


def smoothed(images: Tensor, size: int) -> Tensor:
    _, *shape = images.shape
    result: Tensor = Median(size=size).build(DataInfo(tuple(shape), 10))(images)  # type: ignore[arg-type]
    return result


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("shape", [(1, 7, 5), (3, 4, 6)])
def test_it_is_scipys_filter(size: int, shape: tuple[int, int, int]) -> None:
    """A window larger than the image included."""
    torch.manual_seed(size)
    images = torch.rand(3, *shape)
    expected = median_filter(images.numpy(), size=(1, 1, size, size), mode="reflect")
    assert torch.equal(smoothed(images, size), torch.from_numpy(expected))


def test_a_single_bright_pixel_goes_and_the_gradient_with_it() -> None:
    images = torch.linspace(0, 0.4, 25).view(1, 1, 5, 5).clone()
    images[0, 0, 2, 2] = 1.0
    images.requires_grad_(True)
    output = smoothed(images, 3)
    assert float(output.detach().max()) < 0.41
    output.sum().backward()
    assert images.grad is not None
    assert float(images.grad[0, 0, 2, 2]) == 0
    assert float(images.grad.sum()) == 25  # Each output is one pixel of its window.
