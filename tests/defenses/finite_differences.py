"""The gradient of a purifier against differences of its values, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor


def assert_gradient_is_exact(
    function: Callable[[Tensor], Tensor], images: Tensor, *, least: float = 1e-4
) -> None:
    """Compare the gradient of a weighted sum of the output along a random direction.

    Args:
        function: function of the images, which draws the same at every call.
        images: float64 (n, c, h, w).
        least: norm that the gradient has at least, so that zeros do not pass.
    """
    generator = torch.Generator().manual_seed(2)
    direction = torch.randn(images.shape, dtype=torch.float64, generator=generator)

    def value(at: Tensor) -> Tensor:
        torch.manual_seed(1)
        output = function(at)
        weights = torch.randn(
            output.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
        )
        return (output * weights).sum()

    inputs = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(inputs), inputs)
    with torch.no_grad():
        up, down = (float(value(images + sign * 1e-6 * direction)) for sign in (1, -1))
    assert float(gradient.norm()) > least
    assert float((gradient * direction).sum()) == pytest.approx((up - down) / 2e-6, rel=1e-4)
